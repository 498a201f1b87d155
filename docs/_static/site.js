// names for controls that the theme leaves without one, or with another than they show
document.addEventListener("DOMContentLoaded", () => {
  for (const toggle of document.querySelectorAll("summary")) {
    const page = toggle.closest("li")?.querySelector("a");
    if (page && !toggle.textContent.trim()) toggle.setAttribute("aria-label", "Pages of " + page.textContent.trim());
  }
  for (const button of document.querySelectorAll(".search-button-field")) {
    button.setAttribute("aria-label", button.textContent.replace(/\s+/g, " ").trim());
  }
});
