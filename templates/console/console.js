"use strict";
// Shows what goes on now as it changes. Texts are set as text, never as markup.
(function () {
  const box = document.getElementById("running");
  const stale = document.getElementById("stale");
  if (!box || !window.EventSource) return;

  function part(tag, text, quiet) {
    const e = document.createElement(tag);
    e.textContent = text;
    if (quiet) e.className = "quiet";
    return e;
  }

  function item(run) {
    const li = document.createElement("li");
    const link = document.createElement("a");
    link.href = "/runs/" + encodeURIComponent(run.run);
    link.append(part("bdi", run.job));
    li.append(link, " ", part("span", run.step), " ", part("span", run.text, true));
    if (run.of > 0) {
      const bar = document.createElement("progress");
      bar.max = run.of;
      bar.value = run.done;
      bar.setAttribute("aria-label", run.step);
      li.append(" ", bar);
    }
    li.append(" ", part("span", "since " + run.since, true));
    return li;
  }

  function show(all) {
    if (box.contains(document.activeElement)) return; // nobody loses their place
    if (all.length === 0) {
      box.replaceChildren(part("p", box.dataset.idle, true));
      return;
    }
    const list = document.createElement("ul");
    list.className = "work";
    list.append(...all.map(item));
    box.replaceChildren(list);
  }

  // What went on when the page was made: a run may begin before the stream does.
  const first = Array.from(box.querySelectorAll("[data-run]"), (li) => li.dataset.run).join("\n");
  const events = new EventSource(box.dataset.events);
  events.addEventListener("running", function (event) {
    const all = JSON.parse(event.data);
    show(all);
    const runs = all.map((run) => run.run).join("\n");
    if (runs !== first && stale.childElementCount === 0) {
      const link = part("a", "Reload");
      link.href = "";
      stale.append("A run began or ended since this page was made. ", link);
    }
  });
  window.addEventListener("pagehide", () => events.close());
})();
