/** A browser whose pages are watched: what they complain of, and whom they ask. */
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from "playwright-core";

const PROGRAM = process.env.CELLFLEET_CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  "--no-sandbox", "--disable-quic", "--disable-gpu-sandbox", "--enable-unsafe-swiftshader",
  // Only this machine can be reached, whatever a page asks for.
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];
const WAIT_MS = 60_000;

/** Said by the graphics driver of a machine without a GPU; no page can help it. */
const DRIVER = /GL Driver Message|GPU stall|software WebGL/i;
/** The browser's own word for any answer of 400 and more, and for none. */
export const NO_ANSWER = /Failed to load resource/;

export interface Watched {
  page: Page;
  context: BrowserContext;
  /** What the page should not have done: complaints, policy violations, requests to other hosts. */
  troubles: string[];
}

export const openBrowser = (): Promise<Browser> => chromium.launch({ executablePath: PROGRAM, args: FLAGS });

interface Options extends BrowserContextOptions {
  /** Complaints that a test brings about. */
  expected?: RegExp;
  /** Another host that the page may ask: the bucket of the service. */
  also?: string;
  /** Kept for the page as if the user had logged in. */
  token?: string;
}

/** What the page itself keeps of a user who has logged in. */
const loggedIn = (origin: string, token: string) => ({
  cookies: [],
  origins: [{ origin, localStorage: [{ name: "cellfleet-token", value: token }] }],
});

/** Open a page in a profile of its own. */
export async function openPage(browser: Browser, url: string, options: Options = {}): Promise<Watched> {
  const { expected, also, token, ...rest } = options;
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    reducedMotion: "reduce",
    storageState: token ? loggedIn(new URL(url).origin, token) : undefined,
    ...rest,
  });
  context.setDefaultTimeout(WAIT_MS);
  const troubles: string[] = [];
  const host = new URL(url).host;
  const tell = (text: string) => {
    if (!DRIVER.test(text) && !expected?.test(text)) troubles.push(text);
  };
  context.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) tell(`${message.type()}: ${message.text()}`);
  });
  context.on("weberror", (error) => tell(`thrown: ${error.error().stack ?? error.error().message}`));
  context.on("request", (request) => {
    const asked = new URL(request.url());
    if (/^(https?|wss?):/.test(asked.protocol) && asked.host !== host && asked.host !== also) troubles.push(`another host: ${request.url()}`);
  });
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      // eslint-disable-next-line no-console -- this is how it is heard of out here
      console.error(`policy: ${event.violatedDirective} forbids ${event.blockedURI}`);
    });
  });
  const page = await context.newPage();
  await page.goto(url);
  return { page, context, troubles };
}
