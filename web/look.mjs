import { chromium } from "playwright-core";
const [url, out] = process.argv.slice(2);
const b = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-quic"] });
const p = await b.newPage({ viewport: { width: 1280, height: 800 } });
p.on("console", (m) => console.log(m.type(), m.text().slice(0, 300)));
p.on("pageerror", (e) => console.log("ERR", e.message));
await p.goto(url); await p.waitForTimeout(1500);
await p.screenshot({ path: out }); await b.close();
