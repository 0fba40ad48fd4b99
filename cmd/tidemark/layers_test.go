package main

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// fakeMicrosoft is for tests; serve, below it, is a program of its own that runs
// it by hand, and is wired in its own main.
const (
	fakeMicrosoft = "jobs/source/partnercenter/fakemicrosoft"
	fakeServe     = fakeMicrosoft + "/serve"
)

// bench is a module of its own with a program of its own, which measures
// processes by the clock.
const bench = "transform/bench"

// level of a package: it may import only packages of a lower level. Leaves
// (level 0) import no other package of the module.
func level(path string) (int, bool) {
	switch p := strings.TrimPrefix(path, "tidemark/"); {
	case p == "templates", p == "reports/mail", p == "jobs/ledger":
		return 0, true
	case p == "reports/chart", p == "reports/chart/raster":
		return 0, true
	case p == fakeMicrosoft: // tests measure a client by it, so it shares nothing with one
		return 0, true
	case p == "data":
		return 10, true
	case p == "jobs/source/flatfile", p == "jobs/microsoft/retry": // what sources stand on
		return 15, true
	case p == "jobs/inbox":
		return 20, true
	case p == "jobs/microsoft":
		return 16, true
	case p == "transform", p == "data/archive", strings.HasPrefix(p, "jobs/source/"), p == "data/datatest", p == "jobs/entra":
		return 20, true
	case p == "transform/churn":
		return 30, true
	case p == "reports":
		return 40, true
	case p == "jobs":
		return 50, true
	case p == "cmd/tidemark/deploy/release": // a program of its own
		return 0, true
	case p == "jobs/console":
		return 55, true
	case p == "cmd/tidemark":
		return 60, true
	}
	return 0, false
}

type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports,Deps", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p listed
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list found %d packages only", len(all))
	}
	return all
}

func TestImports_RunStrictlyDownward(t *testing.T) {
	for _, p := range listPackages(t) {
		from, known := level(p.ImportPath)
		if !known {
			t.Errorf("%s is not in the table of packages: give it a level here and in DESIGN.md", p.ImportPath)
			continue
		}
		for _, imp := range p.Imports {
			to, ours := level(imp)
			if ours && to >= from && !isChartChild(p.ImportPath, imp) {
				t.Errorf("%s (level %d) imports %s (level %d)", p.ImportPath, from, imp, to)
			}
			if imp == "testing" && p.ImportPath != "tidemark/data/datatest" {
				t.Errorf("%s ships the package testing", p.ImportPath)
			}
		}
		for _, imp := range p.Imports {
			source := strings.HasPrefix(imp, "tidemark/jobs/source/") && imp != "tidemark/jobs/source/flatfile"
			byHand := p.ImportPath == "tidemark/"+fakeServe && imp == "tidemark/"+fakeMicrosoft
			if source && !byHand && (p.ImportPath != "tidemark/cmd/tidemark" || strings.HasPrefix(imp, "tidemark/"+fakeMicrosoft)) {
				t.Errorf("%s imports %s: sources are wired by cmd/tidemark only", p.ImportPath, imp)
			}
		}
	}
}

// isChartChild allows the one edge inside a leaf: a chart is drawn by its own
// rasteriser.
func isChartChild(from, to string) bool {
	return from == "tidemark/reports/chart" && to == "tidemark/reports/chart/raster"
}

func TestDependencies_ArrowsParquetPackageIsNeverLinked(t *testing.T) {
	for _, p := range listPackages(t) {
		for _, dep := range p.Deps {
			if strings.HasPrefix(dep, "github.com/apache/arrow/go/v17/parquet") {
				t.Errorf("%s links %s: Parquet is read and written by parquet-go only (DESIGN.md)", p.ImportPath, dep)
			}
		}
	}
}

func TestTopLevel_HoldsNothingNew(t *testing.T) {
	allowed := []string{"cmd", "jobs", "transform", "reports", "templates", "data", "go.mod", "go.sum", "Makefile",
		"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "DESIGN.md", "LICENSE", "NOTICE", "docs", "bin", "out"}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) {
			t.Errorf("%s stands at the top level; see CONTRIBUTING.md for where things go", e.Name())
		}
	}
}

// sources parses every shipped Go file of the module.
func sources(t *testing.T) map[string]*ast.File {
	t.Helper()
	files := make(map[string]*ast.File)
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != root) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(fset, path, nil, 0)
		files[filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))] = f
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("found %d source files only", len(files))
	}
	return files
}

// calls returns how often a file selects name from pkg, e.g. time.Now.
func calls(f *ast.File, pkg, name string) int {
	n := 0
	ast.Inspect(f, func(node ast.Node) bool {
		if sel, ok := node.(*ast.SelectorExpr); ok && sel.Sel.Name == name {
			if id, ok := sel.X.(*ast.Ident); ok && id.Name == pkg {
				n++
			}
		}
		return true
	})
	return n
}

func TestClockAndEnvironment_AreReadInOnePlace(t *testing.T) {
	clocks := 0
	for path, f := range sources(t) {
		if strings.HasPrefix(path, fakeServe+"/") || strings.HasPrefix(path, bench+"/") {
			continue
		}
		clocks += calls(f, "time", "Now")
		for _, name := range []string{"Getenv", "LookupEnv", "Environ"} {
			if n := calls(f, "os", name); n > 0 && !strings.HasPrefix(path, "cmd/") {
				t.Errorf("%s reads the environment", path)
			}
		}
		if n := calls(f, "os", "Exit"); n > 0 && !strings.HasPrefix(path, "cmd/") {
			t.Errorf("%s ends the process", path)
		}
		if n := calls(f, "time", "Sleep"); n > 0 {
			t.Errorf("%s sleeps", path)
		}
	}
	if clocks != 1 {
		t.Errorf("time.Now is used %d times in shipped code, want once", clocks)
	}
}

func TestPackages_KeepNoMutableStateAndNoInit(t *testing.T) {
	for path, f := range sources(t) {
		for _, decl := range f.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					t.Errorf("%s has an init function", path)
				}
			case *ast.GenDecl:
				if d.Tok == token.VAR {
					checkVars(t, path, d)
				}
			}
		}
	}
}

// checkVars accepts the package-level variables that nothing changes: embedded
// files, error sentinels, compile-time interface checks, and the version that
// the linker sets.
func checkVars(t *testing.T, path string, d *ast.GenDecl) {
	t.Helper()
	for _, spec := range d.Specs {
		v := spec.(*ast.ValueSpec)
		name := v.Names[0].Name
		if name == "_" || strings.HasPrefix(strings.ToLower(name), "err") || path == "cmd/tidemark/version.go" {
			continue
		}
		if sel, ok := v.Type.(*ast.SelectorExpr); ok && sel.Sel.Name == "FS" {
			continue
		}
		if id, ok := v.Type.(*ast.Ident); ok && (id.Name == "string") && len(v.Values) == 0 {
			continue // go:embed of one file
		}
		t.Errorf("%s: package variable %s: pass it, or make it a constant or a function", path, name)
	}
}
