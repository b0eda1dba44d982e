// Keys for what the page can do without. Nothing here makes HTML.
"use strict";

const find = (id) => document.getElementById(id);
document.documentElement.classList.add("keys");

// A link that ends with #TOKEN: servers and logs never see that part.
const token = find("token");
const take = () => {
  if (!token || location.hash.length < 2) return;
  token.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
};
take();
addEventListener("hashchange", take); // the link opened on this page

const vote = find("vote");
let sent = false; // one press, one form: the next page has its own
for (const form of document.forms) {
  form.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
    setTimeout(() => (sent = false), 3000); // unless the server is gone
  });
}
// What the back button brings out of memory is from before the vote.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

const say = (text) => {
  if (find("said")) find("said").textContent = text;
};

const open = (id, field) => {
  const box = find(id);
  if (!box) return false;
  box.open = !box.open || Boolean(field);
  if (field) find(field).focus();
  else box.scrollIntoView({ block: "nearest" });
  return true;
};

const press = (key) => {
  const input = vote && vote.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (input) {
    if (input.type === "radio") input.checked = true;
    else input.checked = !input.checked;
    const words = input.closest("label").querySelector("span");
    if (words) say(words.innerText.replace(/\s+/g, " ").trim());
    input.closest("fieldset").scrollIntoView({ block: "nearest" });
    return true;
  }
  if (key === "Enter") {
    if (!vote) return false;
    if (vote.reportValidity()) vote.requestSubmit(find("save"));
    else say("Choose first: 1 to 5, or b.");
    return true;
  }
  if (key === "c" && find("comment")) {
    find("comment").focus();
    return true;
  }
  if (key === "s") return open("skip", "reason");
  if (key === "?") return open("help");
  if (key === "u" && find("undo")) {
    find("undo").requestSubmit();
    return true;
  }
  return false;
};

addEventListener("keydown", (event) => {
  const at = event.target;
  const writing = at.matches("textarea, select, input:not([type=radio], [type=checkbox])");
  if (event.key === "Escape" && writing) {
    at.blur();
    return;
  }
  if (event.key === "Enter" && event.ctrlKey && at.form === vote && vote) {
    if (press("Enter")) event.preventDefault();
    return;
  }
  // A key held down would run through the pairs.
  if (writing || event.repeat || event.isComposing) return;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  // Enter on a link or a button is that one's.
  if (event.key === "Enter" && at.matches("a, button, summary")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (press(key)) event.preventDefault();
});
