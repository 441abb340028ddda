"use strict";

const byId = (id) => document.getElementById(id);

/* Theme: the system's, or the reader's own, remembered where the browser allows it. */
{
  const button = byId("theme");
  const themes = ["auto", "light", "dark"];
  let theme = "auto";
  try { theme = localStorage.getItem("renderay-theme") ?? "auto"; } catch { /* pages from a file may have no storage */ }
  const show = () => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.firstElementChild.textContent = theme;
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    try { localStorage.setItem("renderay-theme", theme); } catch { /* as above */ }
    show();
  });
  show();
}
