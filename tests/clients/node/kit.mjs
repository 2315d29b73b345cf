// The frame of a client's program: see ../programs/kit.py.
import { readFileSync } from "node:fs";
import { z } from "zod";

export const given = JSON.parse(process.argv[2] ?? "{}");
export const ask = "Name a colour.";
export const time = "What time is it in Bern?";
export const hello = "Say hello.";
export const texts = ["A boat is rowed across the river.", "The invoice was paid."];
export const tokens = 40;
export const pick = z.object({ colour: z.enum(["red", "green", "blue"]), count: z.number().int().min(0).max(99) });
export const town = z.object({ town: z.enum(["Bern", "Oslo", "Lima"]) });
export const called = [];
export const clock = async ({ town }) => (called.push(town), "12:34");
export const executed = (text) => ({ towns: [...called], text });
export const picked = (value) => ({ type: pick.safeParse(value).success ? "Pick" : "unknown", value });
export const usage = (prompt, completion) => ({ prompt_tokens: prompt, completion_tokens: completion });

const cells = [];
export const cell = (name, work) => cells.push([name, work]);
const told = (line) => console.log(JSON.stringify(line));
const version = (name) => JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version;

export async function main(...packages) {
  told({ versions: Object.fromEntries(packages.map((name) => [name, version(name)])) });
  for (const [name, work] of cells) {
    if (given.only && given.only !== name) continue;
    called.length = 0;
    try {
      told({ cell: name, value: await work() });
    } catch (error) {
      const body = String(error.responseBody ?? error.cause ?? "").slice(0, 300);
      told({ cell: name, error: `${error.name}: ${error.message} ${body}`.slice(0, 800) });
    }
  }
}
