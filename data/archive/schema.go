package archive

import (
	"encoding/json"
	"fmt"
)

// evolves reports whether a table with one schema may go on with another: only
// columns that may be null may come, and none may go or change. Both are
// Delta's schemaString.
func evolves(from, to string) error {
	var before, after sparkSchemaOf
	if err := json.Unmarshal([]byte(from), &before); err != nil {
		return fmt.Errorf("schema in the log: %w", err)
	}
	if err := json.Unmarshal([]byte(to), &after); err != nil {
		return fmt.Errorf("schema of the program: %w", err)
	}
	known := map[string]sparkField{}
	for _, f := range after.Fields {
		known[f.Name] = f
	}
	for _, f := range before.Fields {
		now, found := known[f.Name]
		switch {
		case !found:
			return fmt.Errorf("%w: the table has a column %s that this program does not know: a newer tidemark wrote it, use that one", ErrSchema, f.Name)
		case now != f:
			return fmt.Errorf("%w: column %s is %s in the table and %s in this program", ErrSchema, f.Name, f.describe(), now.describe())
		}
		delete(known, f.Name)
	}
	for _, f := range after.Fields {
		if _, added := known[f.Name]; added && !f.Nullable {
			return fmt.Errorf("%w: a new column %s must be one that may be null", ErrSchema, f.Name)
		}
	}
	return nil
}

type sparkSchemaOf struct {
	Type   string       `json:"type"`
	Fields []sparkField `json:"fields"`
}

type sparkField struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	Nullable bool     `json:"nullable"`
	Metadata struct{} `json:"metadata"`
}

func (f sparkField) describe() string {
	if f.Nullable {
		return "optional " + f.Type
	}
	return "required " + f.Type
}
