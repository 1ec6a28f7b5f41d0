// The console's own script: passkeys, which only a script can ask for, and two keys. Every page works without it otherwise.
"use strict";
(() => {
  const post = async (url, body) => {
    const answer = await fetch(url, { method: "POST", headers: { "Content-Type": "application/json", Accept: "application/json" }, body: JSON.stringify(body ?? {}) });
    const text = await answer.text();
    if (!answer.ok) {
      const page = new DOMParser().parseFromString(text, "text/html");
      throw new Error(page.querySelector("[role=alert]")?.textContent ?? "The server did not take it (" + answer.status + ").");
    }
    return JSON.parse(text);
  };

  const say = (from, error) => {
    const place = from.closest("form, main").querySelector("[data-passkey-problem]");
    place.textContent = error.name === "NotAllowedError" ? "The passkey was not used: it was cancelled, or it took too long." : error.message;
    place.hidden = false;
  };

  const enrol = async (button) => {
    const query = button.dataset.invitation ? "?invitation=" + encodeURIComponent(button.dataset.invitation) : "";
    const begun = await post("/console/enrol" + query);
    const key = await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(begun.options.publicKey) });
    const done = await post("/console/enrol/finish?next=" + encodeURIComponent(button.dataset.next), { sealed: begun.sealed, answer: key.toJSON() });
    location.assign(done.next);
  };

  const signIn = async (button) => {
    const begun = await post("/console/sign-in/passkey");
    const key = await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(begun.options.publicKey) });
    const done = await post("/console/sign-in/passkey/finish?next=" + encodeURIComponent(button.dataset.next), { sealed: begun.sealed, answer: key.toJSON() });
    location.assign(done.next);
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-passkey]");
    if (!button) return;
    button.disabled = true;
    try {
      await (button.dataset.passkey === "enrol" ? enrol : signIn)(button);
    } catch (error) {
      say(button, error);
    } finally {
      button.disabled = false;
    }
  });

  // An approval that the policy wants signed: the passkey signs the digest of what the page shows.
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.dataset.stepUp || event.submitter?.value !== "approve" || form.elements.assertion) return;
    event.preventDefault();
    try {
      const options = await post("/console/approvals/" + form.dataset.stepUp + "/challenge");
      const key = await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options.publicKey) });
      const field = document.createElement("input");
      field.type = "hidden";
      field.name = "assertion";
      field.value = JSON.stringify(key.toJSON());
      form.append(field);
      form.requestSubmit(event.submitter);
    } catch (error) {
      say(form, error);
    }
  });

  // On a narrow page the navigation is one line that scrolls: where one is has to be seen.
  document.querySelector(".frame > nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center", behavior: "instant" });

  // a and d go to the two answers of a request, a also to who takes an incident, s to what stops; Enter on them decides.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    const answers = { a: ["approve", "ack"], d: ["deny"], s: ["stop"] }[event.key] ?? [];
    const button = answers.map((answer) => document.querySelector(`.decide button[value="${answer}"]`)).find(Boolean);
    if (button) {
      event.preventDefault();
      button.focus();
    }
  });
})();
