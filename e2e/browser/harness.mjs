// What the browser tests share: a browser, people with passkeys, agents, and the checks that every page must pass.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const base = process.env.WRIT_URL; // as people reach it: http://localhost:PORT
const admin = process.env.WRIT_ADMIN_TOKEN;
const axe = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

export const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

// api asks the server as the administrator, or with another token.
export const api = async (method, path, body, token = admin) => {
  const answer = await fetch(base + path, {
    method,
    headers: { Authorization: "Bearer " + token, "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const data = await answer.json();
  assert.equal(answer.status, 200, `${method} ${path}: ${JSON.stringify(data)}`);
  return data;
};

// agent gives a function that asks for decisions as an agent.
export const agent = async (name, principal = "runs_as") => {
  const { token } = await api("POST", "/v1/credentials", { environment: "prod", agent: name, principal });
  return (tool, input, session) => api("POST", "/v1/decisions", { agent: name, tool, input, session }, token);
};

// visitor is a browser of its own, in which nothing may go wrong unnoticed: no error in a script, nothing that the policy blocks.
export const visitor = async () => {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, baseURL: base });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  page.wrong = [];
  page.on("pageerror", (error) => page.wrong.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" && !/status of 4\d\d/.test(message.text())) page.wrong.push(message.text());
  });
  return page;
};

// authenticator gives a page a device that holds passkeys and verifies its user.
export const authenticator = async (page) => {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("WebAuthn.enable");
  const { authenticatorId } = await cdp.send("WebAuthn.addVirtualAuthenticator", {
    options: { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
  });
  return {
    refuse: (refuse) => cdp.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: !refuse }),
  };
};

// enrolled is a person who followed an invitation and is signed in.
export const enrolled = async (person, name, roles = []) => {
  const { link } = await api("POST", "/v1/people", { person: "user:" + person, name, roles });
  const page = await visitor();
  page.device = await authenticator(page);
  await page.goto(link);
  await page.getByRole("button", { name: "Enrol a passkey" }).click();
  await page.waitForURL("**/console/");
  return page;
};

// sound fails for what a page must never have: violations that axe finds, things that stand out of the page, errors of scripts.
export const sound = async (page, what) => {
  const found = await page.evaluate(axe + `; axe.run().then((r) => r.violations.map((v) => v.id + ": " + v.nodes.map((n) => n.target.join(" ")).join(" | ")))`);
  assert.deepEqual(found, [], `${what}: axe`);
  const over = await page.evaluate(() => {
    const outside = (e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll, nav, pre, textarea");
    return document.documentElement.scrollWidth > innerWidth ? [...document.body.querySelectorAll("*")].filter(outside).map((e) => e.outerHTML.slice(0, 120)) : [];
  });
  assert.deepEqual(over, [], `${what}: wider than the window`);
  assert.deepEqual(page.wrong, [], `${what}: errors`);
};

export const heading = (page) => page.getByRole("heading", { level: 1 }).textContent();
