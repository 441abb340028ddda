/* Charts: the pointer or the arrow keys read one mark out. */
for (const plot of document.querySelectorAll(".plot[data-readout]")) {
  const texts = JSON.parse(plot.dataset.readout);
  const canvas = plot.querySelector(".canvas");
  const hair = plot.querySelector(".hair");
  const output = plot.parentElement.querySelector("output");
  const resting = output.textContent;
  let at = -1;
  const read = (index) => {
    at = Math.max(0, Math.min(texts.length - 1, index));
    output.textContent = texts[at];
    hair.hidden = false;
    hair.style.left = `${((at + 0.5) / texts.length) * 100}%`;
  };
  const rest = () => { at = -1; hair.hidden = true; output.textContent = resting; };
  plot.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    read(Math.floor(((event.clientX - box.left) / box.width) * texts.length));
  });
  plot.addEventListener("pointerleave", rest);
  plot.addEventListener("blur", rest);
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    read(at < 0 ? (step < 0 ? 0 : step === Infinity ? Infinity : 0) : at + step);
  });
}

/* Steps: one shape at a time. */
byId("shape")?.addEventListener("change", (event) => {
  for (const chart of document.querySelectorAll(".stepchart")) chart.hidden = chart.dataset.shape !== event.target.value;
});

/* Gallery. */
const cards = JSON.parse(byId("cards").textContent);
if (cards.length) {
  const form = byId("filters"), list = byId("cardlist"), viewer = byId("viewer"), search = byId("search");
  const items = [...list.children];
  const buttons = items.map((item) => item.firstElementChild);
  const columns = [...form.querySelectorAll("[data-column]")];
  const texts = cards.map((card, i) => `${buttons[i].querySelector(".prompt").textContent}\n${card.text}`.toLowerCase());
  let visible = cards.map((_, i) => i);
  let ordered = visible;

  const fits = (i, words, wanted) =>
    words.every((word) => texts[i].includes(word)) &&
    wanted.every(([name, value]) => {
      const own = cards[i].values[name] ?? "";
      return value.startsWith("=") ? own === value.slice(1) : own.toLowerCase().includes(value.slice(1).toLowerCase());
    });

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = columns.filter((control) => control.value)
      .map((control) => [control.dataset.column, control.tagName === "SELECT" ? control.value : `~${control.value}`]);
    visible = ordered.filter((i) => fits(i, words, wanted));
    const shown = new Set(visible);
    items.forEach((item, i) => { item.hidden = !shown.has(i); });
    byId("nothing").hidden = visible.length > 0;
    byId("shown").textContent = visible.length === cards.length ? `${cards.length} shown` : `${visible.length} of ${cards.length} shown`;
    byId("more").textContent = wanted.length ? `Columns (${wanted.length})` : "Columns";
    aim(visible[0]);
  }

  /* Moving a card takes the focus from it, so cards are moved only when the order is another. */
  function order() {
    const sign = { slow: -1, fast: 1 }[byId("order").value] ?? 0;
    const before = ordered;
    ordered = cards.map((_, i) => i).sort((a, b) => sign * (cards[a].ms - cards[b].ms) || a - b);
    if (ordered.some((i, place) => i !== before[place])) list.append(...ordered.map((i) => items[i]));
  }
  const update = () => { order(); filter(); };

  /* One card is in the tab order; the arrow keys move from card to card. */
  function aim(i) {
    for (const button of buttons) button.tabIndex = -1;
    if (i !== undefined) buttons[i].tabIndex = 0;
  }
  function focus(i) { aim(i); buttons[i].focus(); }

  list.addEventListener("keydown", (event) => {
    const here = visible.indexOf(Number(event.target.dataset.i));
    if (here < 0) return;
    const perRow = getComputedStyle(list).gridTemplateColumns.split(" ").length;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: perRow, ArrowUp: -perRow, Home: -here, End: visible.length - 1 - here }[event.key];
    if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const there = here + step;
    if (there >= 0 && there < visible.length) focus(visible[there]);
  });

  /* One picture, with everything that is known of it. */
  let open = 0;
  function view(i) {
    open = i;
    const image = viewer.querySelector("img"), small = buttons[i].querySelector("img");
    image.hidden = !small;
    if (small) image.src = small.src;
    const prompt = buttons[i].querySelector(".prompt").textContent;
    image.alt = prompt;
    byId("viewer-prompt").textContent = prompt;
    viewer.querySelector(".facts").replaceChildren(...cards[i].facts.map(([name, value]) => {
      const row = document.createElement("div");
      row.append(Object.assign(document.createElement("dt"), { textContent: name }),
        Object.assign(document.createElement("dd"), { textContent: value }));
      return row;
    }));
    const here = visible.indexOf(i);
    viewer.querySelector('[data-go="-1"]').disabled = here <= 0;
    viewer.querySelector('[data-go="1"]').disabled = here >= visible.length - 1;
    if (!viewer.open) viewer.showModal();
    viewer.scrollTop = 0;
  }
  const go = (step) => { const next = visible[visible.indexOf(open) + step]; if (next !== undefined) view(next); };
  list.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) { aim(Number(button.dataset.i)); view(Number(button.dataset.i)); }
  });
  viewer.addEventListener("click", (event) => {
    const step = event.target.closest("button")?.dataset.go;
    if (step === "0" || event.target === viewer) viewer.close();
    else if (step) go(Number(step));
  });
  viewer.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) { event.preventDefault(); go(step); }
  });
  viewer.addEventListener("close", () => focus(open));

  /* A link to a card that is filtered away brings it back. */
  function follow() {
    const i = items.findIndex((item) => item.id && `#${item.id}` === location.hash);
    if (i < 0) return;
    if (items[i].hidden) { form.reset(); update(); }
    items[i].scrollIntoView({ block: "center" });
    focus(i);
  }

  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(update));
  byId("more").addEventListener("click", () => {
    const panel = byId("columns");
    panel.hidden = !panel.hidden;
    byId("more").setAttribute("aria-expanded", String(!panel.hidden));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.matches("input, select, textarea") && !viewer.open) { event.preventDefault(); search.focus(); }
  });
  addEventListener("hashchange", follow);
  filter();
  follow();
}
