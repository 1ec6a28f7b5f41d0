// People in a browser: signing in, voting, changing, searching, and every page at both widths. The server, its provider and the
// names come from the environment; see ../browser_test.go.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { agent, api, authenticator, browser, enrolled, heading, sound, visitor } from "./harness.mjs";

let support, finance, maria, tom;

before(async () => {
  support = await agent("support-bot");
  finance = await agent("finance-bot", "user:tom");
  maria = await enrolled("maria", "Maria Rossi", ["admin"]); // of leads and finance in the bundle
  tom = await enrolled("tom", "Tom Berger"); // of finance
});

after(() => browser.close());

const refund = (amount, session) => support("stripe/refund", { charge: "ch_3PqX", amount, currency: "usd" }, session);

test("signing out and in again by passkey", async () => {
  await maria.goto("/console/me");
  await maria.getByRole("button", { name: "Sign out" }).click();
  await maria.getByText("You are signed out.").waitFor();
  await maria.goto("/console/decisions");
  assert.match(maria.url(), /\/console\/sign-in\?next=/);
  await maria.getByRole("button", { name: "Use a passkey" }).click();
  await maria.waitForURL("**/console/decisions**");
  assert.equal(await heading(maria), "Decisions");
});

test("a passkey that does not verify its user signs nobody in", async () => {
  const page = await visitor();
  const device = await authenticator(page);
  await device.refuse(true);
  await page.goto("/console/sign-in");
  await page.getByRole("button", { name: "Use a passkey" }).click();
  await page.locator("[data-passkey-problem]:not([hidden])").waitFor();
  await page.goto("/console/");
  assert.match(page.url(), /sign-in/);
  await page.context().close();
});

test("signing in at the identity provider, and voting by it", async () => {
  const page = await visitor();
  await page.goto("/console/approvals");
  await page.getByRole("link", { name: /Continue with/ }).click();
  assert.equal(new URL(page.url()).origin, new URL(process.env.WRIT_IDP).origin);
  await page.getByLabel("User").fill("yuki");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL("**/console/approvals**");
  const asked = await refund(650, "provider");
  await page.goto("/console/approvals/" + asked.approval.id);
  await page.getByRole("button", { name: "Approve" }).click();
  await page.getByText("Your vote is recorded.").waitFor();
  const vote = (await api("GET", "/v1/entries?ledger=prod&limit=1000")).entries.find((e) => e.kind === "approval_vote" && e.body.decision === asked.id);
  assert.deepEqual([vote.body.issuer, vote.body.amr], [process.env.WRIT_IDP, ["pwd", "otp"]]);
  await page.goto("/console/me");
  assert.match(await page.textContent("main"), /prod.*approver/s);
  await sound(page, "me, by OpenID Connect");
  await page.context().close();
});

test("approving with the keyboard alone", async () => {
  const asked = await refund(900, "keys");
  assert.equal(asked.outcome, "require_approval");
  await maria.goto("/console/approvals/" + asked.approval.id);
  assert.equal(await heading(maria), "stripe/refund");
  await maria.locator("body").press("a");
  await maria.keyboard.press("Enter");
  await maria.getByText("Your vote is recorded.").waitFor();
  const request = await api("GET", "/v1/approvals/" + asked.approval.id);
  assert.equal(request.state, "approved");
  assert.equal((await refund(900, "keys")).outcome, "require_approval", "another call is another request");
});

test("denying, with a comment", async () => {
  const asked = await refund(901, "denied");
  await maria.goto("/console/approvals/" + asked.approval.id);
  await maria.getByLabel("Comment").fill("Not without the receipt");
  await maria.getByRole("button", { name: "Deny" }).click();
  await maria.getByText("Your vote is recorded.").waitFor();
  assert.equal((await api("GET", "/v1/approvals/" + asked.approval.id)).state, "denied");
  assert.equal(await maria.getByRole("button", { name: "Approve" }).count(), 0);
});

test("nobody approves their own request", async () => {
  const asked = await finance("bank/transfer", { amount: 90000, supplier: { id: "S-9", country: "DE" }, iban: "DE89", invoice: "INV-32" }, "own");
  await tom.goto("/console/approvals/" + asked.approval.id);
  await tom.getByRole("button", { name: "Approve" }).click();
  await tom.getByRole("alert").filter({ hasText: "nobody approves their own request" }).waitFor();
  assert.equal((await api("GET", "/v1/approvals/" + asked.approval.id)).votes.length, 0);
  await sound(tom, "a refusal");
});

test("an approval that is signed by a passkey", async () => {
  const asked = await support("crm/delete_customer", { customer: "C-77", request: "erasure_request" }, "signed");
  await maria.goto("/console/approvals/" + asked.approval.id);
  await maria.getByRole("button", { name: "Approve with a passkey" }).click();
  await maria.getByText("Your vote is recorded.").waitFor();
  const request = await api("GET", "/v1/approvals/" + asked.approval.id);
  assert.deepEqual(request.votes.map((v) => v.vote), ["approve"]);
  const page = await api("GET", "/v1/entries?ledger=prod&limit=1000");
  const vote = page.entries.find((e) => e.kind === "approval_vote" && e.body.decision === asked.id);
  assert.ok(vote.body.signed.signature, "the entry holds the signature");
});

test("a request that arrives shows up without a reload", async () => {
  await maria.goto("/console/approvals");
  await maria.evaluate(() => new Promise((resolve) => setTimeout(resolve, 1500))); // the stream is open
  const asked = await refund(777, "live");
  await maria.locator(`a[href="/console/approvals/${asked.approval.id}"]`).waitFor();
  await sound(maria, "approvals, live");
});

test("a change: proposed, refused to its author, reviewed, in force, rolled back", async () => {
  const dev = await enrolled("dev", "Dev Patel"); // of engineering: an author
  await dev.goto("/console/changes/new");
  await dev.getByLabel("What changes, and why").fill("Refunds up to 600 go without approval");
  const file = dev.locator('textarea[name="file:writ.yaml"]');
  await dev.locator("summary", { hasText: "writ.yaml" }).click();
  await file.fill((await file.inputValue()).replace("days: 455", "days: 100"));
  await dev.getByRole("button", { name: "Check and propose" }).click();
  await dev.getByRole("alert").filter({ hasText: "365" }).waitFor(); // what is wrong, beside what was written
  await file.fill((await file.inputValue()).replace("days: 100", "days: 500"));
  await dev.getByRole("button", { name: "Check and propose" }).click();
  await dev.getByText("The change is proposed.").waitFor();
  await sound(dev, "a proposal");
  const at = new URL(dev.url()).pathname;
  await dev.getByRole("button", { name: "Approve" }).click();
  await dev.getByRole("alert").waitFor(); // not a reviewer, and the author
  await maria.goto(at);
  assert.match(await maria.textContent("main"), /days: 500/);
  await maria.evaluate(() => {
    window.far = []; // what a progress element said while it was there
    new MutationObserver(() => {
      const e = document.querySelector("#backtest progress");
      if (e) window.far.push([e.position, e.getAttribute("aria-label"), e.nextElementSibling.textContent]);
    }).observe(document.body, { childList: true, subtree: true });
  });
  await maria.getByRole("button", { name: "Backtest" }).click();
  await maria.getByRole("status").getByText("Nothing would have been decided otherwise.").waitFor();
  assert.equal(await maria.locator("#backtest progress").count(), 0, "the result is in its place");
  const far = await maria.evaluate(() => window.far);
  assert.deepEqual(far[0], [-1, "How far the backtest is", "Beginning…"]);
  assert.ok(far.some(([position, , text]) => position > 0 && position <= 1 && /^[\d ]+ of [\d ]+ entries$/.test(text)), JSON.stringify(far));
  await sound(maria, "a backtest in its change");
  await maria.getByRole("button", { name: "Approve" }).click();
  await maria.getByText("Your review is recorded.").waitFor();
  await maria.getByRole("button", { name: "Put into force" }).click();
  await maria.getByText("The bundle is in force.").waitFor();
  await maria.goto("/console/changes");
  await maria.locator("summary", { hasText: "Roll back" }).click();
  await maria.getByLabel("Reason").fill("customers are confused");
  await maria.getByRole("button", { name: /Roll prod back/ }).click();
  await maria.getByText("is in force again").waitFor();
  await sound(maria, "after a rollback");
  await dev.context().close();
});

test("a delegation: asked for, refused to who asked, granted, used, ended", async () => {
  const yuki = await enrolled("yuki", "Yuki Tanaka"); // of finance
  await maria.goto("/console/approvals");
  await maria.getByRole("link", { name: "Delegations" }).click();
  await maria.getByRole("link", { name: "Ask for one" }).click();
  await maria.getByLabel("Policy that would ask").selectOption("refunds-over-500");
  await maria.getByLabel("Agent").selectOption("support-bot");
  await maria.getByLabel(/^Tool/).selectOption("stripe/refund");
  await maria.getByLabel(/^When/).fill("context.input.amount < 1000");
  await maria.getByLabel("At most so many calls").fill("5");
  await maria.getByLabel("Reason").fill("The outage of Monday");
  await maria.getByRole("button", { name: "Ask", exact: true }).click();
  await maria.getByText("The others are asked.").waitFor();
  await sound(maria, "a delegation that waits");
  const at = new URL(maria.url()).pathname;
  await maria.getByRole("button", { name: "Approve" }).click();
  await maria.getByRole("alert").filter({ hasText: "nobody approves their own request" }).waitFor();
  await yuki.goto(at);
  assert.match(await yuki.textContent("main"), /The outage of Monday.*@require_approval/s);
  await yuki.getByRole("button", { name: "Approve" }).click();
  await yuki.getByText("Your vote is recorded.").waitFor();
  assert.equal((await refund(940, "delegated")).outcome, "allow");
  await yuki.goto("/console/delegations");
  assert.match(await yuki.textContent("table.rows"), /1 of 5/);
  await sound(yuki, "delegations");
  await yuki.goto(at);
  await yuki.locator("summary", { hasText: "End now" }).click();
  await yuki.getByRole("button", { name: "End it" }).click();
  await yuki.getByText("The delegation has ended.").waitFor();
  assert.equal((await refund(941, "delegated")).outcome, "require_approval");
  await yuki.context().close();
});

test("a stop with two keys, which says what it stops; recovery in stages", async () => {
  const call = () => support("zendesk/read_ticket", { ticket: "T-9" }, "contained");
  assert.equal((await call()).outcome, "allow");
  await maria.goto("/console/agents");
  await maria.locator("#support-bot").getByRole("link", { name: "Stop it" }).click();
  assert.match(await maria.textContent("main"), /It would stop the agent support-bot.*zendesk\/read_ticket/s);
  await sound(maria, "what a stop would stop");
  await maria.locator("body").press("s");
  await maria.keyboard.press("Enter");
  await maria.getByText("Stopped, on every node.").waitFor();
  const denied = await call();
  assert.equal(denied.outcome, "deny");
  assert.match(denied.reasons[0].message, /Stopped by a person/);
  await sound(maria, "a switch");
  await maria.getByLabel("Reason").fill("The prompt is mended");
  await maria.getByRole("button", { name: "Observe" }).click();
  await maria.getByText("The switch is moved.").waitFor();
  assert.equal((await call()).would, "allow");
  await maria.getByLabel("Reason").fill("Nothing odd in an hour");
  await maria.getByRole("button", { name: "Release" }).click();
  await maria.getByText("The switch is moved.").waitFor();
  assert.equal((await call()).outcome, "allow");
  await maria.goto("/console/containment?environment=prod&state=released");
  assert.match(await maria.textContent("table.rows"), /agent support-bot/);
});

test("an incident: reported, taken and contained with the keyboard alone, reported on, closed", async () => {
  await maria.goto("/console/incidents");
  await maria.getByLabel("What is wrong, in a line").fill("Refunds without a ticket");
  await maria.getByLabel("What you know").fill("A customer called.");
  await maria.locator("#report ~ form").getByLabel("Severity").selectOption("2");
  await maria.getByLabel("Agent").fill("finance-bot");
  await maria.getByRole("button", { name: "Report", exact: true }).click();
  await maria.getByText("The incident is open").waitFor();
  await sound(maria, "a new incident");
  const at = new URL(maria.url()).pathname;
  await maria.locator("body").press("a");
  await maria.keyboard.press("Enter");
  await maria.getByText("Recorded.").waitFor();
  await maria.locator("body").press("s");
  await maria.keyboard.press("Enter");
  await maria.getByText("engaged a switch").waitFor();
  const id = at.split("/").pop();
  const incident = await api("GET", "/v1/incidents/" + id);
  assert.deepEqual([incident.state, incident.timeline.filter((l) => l.event === "ack").length], ["contained", 1]);
  assert.equal((await finance("bank/transfer", { amount: 10, supplier: { id: "S-9", country: "DE" }, iban: "DE89", invoice: "INV-33" }, "stopped")).outcome, "deny");
  await sound(maria, "a contained incident");
  const root = await enrolled("root", "Root", ["responder"]);
  await root.goto("/console/");
  await root.getByRole("link", { name: "Refunds without a ticket" }).click();
  await root.goto(at + "/report");
  await root.getByLabel("The report, in Markdown").fill("# Refunds without a ticket\n\nA prompt.");
  await root.getByRole("button", { name: "Save" }).click();
  await root.getByText("to be approved by somebody").waitFor();
  await sound(root, "a report to be approved");
  await root.getByRole("button", { name: "Approve" }).click();
  await root.getByRole("alert").filter({ hasText: "nobody approves their own" }).waitFor();
  await api("DELETE", "/v1/switches/" + incident.contained_by[0], { reason: "the test goes on" });
  await root.context().close();
});

test("an exercise: begun by hand, labelled, filed", async () => {
  await maria.goto("/console/exercises");
  await maria.getByText("writ gameday --scenario all").waitFor();
  await sound(maria, "no exercise yet");
  await maria.getByRole("textbox", { name: /^Scenario/ }).fill("embargo");
  await maria.getByLabel("finance-bot").check();
  await maria.getByRole("button", { name: "Begin" }).click();
  await maria.getByText("The exercise runs.").waitFor();
  await sound(maria, "an exercise that runs");
  const denied = await finance("bank/transfer", { amount: 10, supplier: { id: "S-10", country: "KP" }, iban: "DE89", invoice: "INV-34" }, "exercised");
  assert.equal(denied.outcome, "deny");
  const labelled = async () => (await api("GET", "/v1/incidents?environment=prod&exercise=true")).incidents[0];
  for (let tries = 0; tries < 100 && !(await labelled()); tries++) await new Promise((resolve) => setTimeout(resolve, 100));
  const incident = await labelled();
  await maria.getByRole("textbox", { name: /^Hypothesis/ }).fill("A payment into a country under embargo is denied, and noticed within five seconds.");
  await maria.getByRole("textbox", { name: /^Injected/ }).fill("finance-bot pays ten dollars to a supplier there.");
  await maria.getByRole("textbox", { name: /^Observed/ }).fill("It was denied, and an incident opened.");
  await maria.getByLabel("yes").check();
  await maria.getByLabel(/^Detected after/).fill(((Date.parse(incident.opened_at) - Date.parse(denied.at)) / 1000).toFixed(3));
  await maria.getByLabel(/^Detectors that had to notice/).fill("blocked_call");
  await maria.getByRole("textbox", { name: /^Moments/ }).fill(`${denied.at} The call was denied\n${incident.opened_at} The incident opened`);
  await maria.getByLabel(/^Evidence/).fill(`${incident.id} ${denied.id}`);
  await maria.getByRole("button", { name: "File it" }).click();
  await maria.getByText("Filed. The exercise is over.").waitFor();
  await sound(maria, "an exercise that was filed");
  await maria.getByRole("link", { name: incident.title }).click();
  assert.match(await maria.textContent("main"), /exercise/);
  await maria.getByRole("heading", { name: "An agent does what a text told it", level: 3 }).waitFor(); // its runbook
  await sound(maria, "an incident with its runbook");
});

test("searching and exporting", async () => {
  await maria.goto("/console/decisions");
  await maria.getByLabel("Outcome").selectOption("require_approval");
  await maria.getByLabel("Tool").fill("stripe/refund");
  await maria.getByRole("button", { name: "Search" }).click();
  await maria.waitForURL(/tool=stripe/);
  const rows = await maria.locator("table.rows tbody tr").count();
  assert.ok(rows >= 4, `${rows} rows`);
  const [download] = await Promise.all([maria.waitForEvent("download"), maria.getByRole("link", { name: "CSV" }).click()]);
  const { readFile } = await import("node:fs/promises");
  const csv = await readFile(await download.path(), "utf8");
  assert.match(csv, /^# query: .*tool=stripe%2Frefund/m);
  assert.equal(csv.trim().split("\n").length, rows + 2);
  await maria.locator("table.rows tbody a").first().click();
  assert.match(await maria.textContent("main"), /Proof/);
  await maria.getByRole("button", { name: "Judge it again" }).click();
  await maria.getByText("It comes out the same").waitFor();
});

test("every page: no violation, nothing over the edge, light and dark, wide and narrow", async () => {
  const decisions = await api("GET", "/v1/decisions?environment=prod&outcome=require_approval&limit=1");
  const pending = await api("GET", "/v1/approvals?environment=prod&state=pending&limit=1");
  const changes = await api("GET", "/v1/changes?environment=prod&limit=5");
  const proposed = changes.changes.find((c) => !c.rollback);
  const delegations = await api("GET", "/v1/delegations?environment=prod&limit=1");
  const stopped = await api("GET", "/v1/switches?environment=prod&limit=1");
  const incidents = await api("GET", "/v1/incidents?environment=prod&limit=1");
  const incident = "/console/incidents/" + incidents.incidents[0].id;
  const exercises = await api("GET", "/v1/exercises?environment=prod&limit=1");
  const pages = {
    exercises: "/console/exercises", exercise: "/console/exercises/" + exercises.exercises[0].id,
    detectors: "/console/detectors", signals: "/console/signals",
    incidents: "/console/incidents?state=", incident, "incident-report": incident + "/report",
    containment: "/console/containment?environment=prod&state=released", "stop-what": "/console/containment/stop", stop: "/console/containment/stop?environment=prod&category=money",
    switch: "/console/containment/" + stopped.switches[0].id,
    overview: "/console/", decisions: "/console/decisions", decision: "/console/decisions/" + decisions.decisions[0].id,
    approvals: "/console/approvals", approval: "/console/approvals/" + pending.approvals[0].id,
    "approval-stats": "/console/approvals/stats", delegations: "/console/delegations", delegation: "/console/delegations/" + delegations.delegations[0].id, delegate: "/console/delegations/new", changes: "/console/changes", change: "/console/changes/" + proposed.id,
    "new-change": "/console/changes/new", replay: "/console/decisions/" + decisions.decisions[0].id + "/replay", versions: "/console/versions", backtest: "/console/changes/" + proposed.id + "/backtest?days=7", agents: "/console/agents", tools: "/console/tools", limits: "/console/limits", ledger: "/console/ledger", people: "/console/people",
    credentials: "/console/credentials", me: "/console/me", enrol: "/console/enrol", "sign-in": "/console/sign-in?again=1",
    "command-line": "/console/sign-in/device?session=0123456789abcdef&hash=00", "not-found": "/console/nowhere",
  };
  const present = () => [...document.querySelectorAll(".frame > nav [aria-current]")].every((e) => e.getBoundingClientRect().left >= 0 && e.getBoundingClientRect().right <= innerWidth);
  const images = process.env.WRIT_SCREENSHOTS;
  if (images) mkdirSync(images, { recursive: true });
  for (const [width, height] of [[1440, 900], [390, 844]]) {
    await maria.setViewportSize({ width, height });
    for (const colorScheme of ["light", "dark"]) {
      await maria.emulateMedia({ colorScheme });
      for (const [name, path] of Object.entries(pages)) {
        const answer = await maria.goto(path);
        assert.equal(answer.status(), name === "not-found" ? 404 : 200, path);
        await sound(maria, `${name}, ${width}, ${colorScheme}`);
        assert.ok(await maria.evaluate(present), `${name}, ${width}: the navigation shows where one is`);
        if (images && colorScheme === "light") await maria.screenshot({ path: `${images}/${name}-${width}.png`, animations: "disabled" });
      }
    }
  }
});

test("without a script, everything but passkeys works", async () => {
  const cookies = await maria.context().cookies();
  const context = await browser.newContext({ javaScriptEnabled: false, baseURL: process.env.WRIT_URL });
  await context.addCookies(cookies);
  const page = await context.newPage();
  const asked = await refund(950, "no-script");
  await page.goto("/console/approvals/" + asked.approval.id);
  await page.getByRole("button", { name: "Approve" }).click();
  await page.getByText("Your vote is recorded.").waitFor();
  const changes = await api("GET", "/v1/changes?environment=prod&limit=5");
  await page.goto("/console/changes/" + changes.changes.find((c) => !c.rollback).id);
  await page.getByRole("button", { name: "Backtest" }).click();
  await page.waitForURL(/wait=1/);
  await page.getByText("judged again under the proposal").waitFor();
  await page.goto(page.url().replace(/&?wait=1/, ""));
  await page.getByRole("link", { name: "run it and wait" }).click();
  await page.getByText("judged again under the proposal").waitFor();
  await context.close();
});
