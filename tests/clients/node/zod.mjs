// JSON schemas that zod writes for ordinary types, one object by name on standard output.
import { z } from "zod";

const tree = z.object({ value: z.number(), get children() { return z.array(tree); } });
const cat = z.object({ kind: z.literal("cat"), lives: z.number().int() });
const dog = z.object({ kind: z.literal("dog"), name: z.string() });
const types = {
  string: z.string(), "string min max": z.string().min(1).max(9), regex: z.string().regex(/^[a-z]{2,5}-\d+$/),
  startsWith: z.string().startsWith("ab"), endsWith: z.string().endsWith("yz"), includes: z.string().includes("m"),
  email: z.email(), url: z.url(), uuid: z.uuid(), uuidv4: z.uuidv4(), ipv4: z.ipv4(), ipv6: z.ipv6(),
  cidr: z.cidrv4(), base64: z.base64(), base64url: z.base64url(), hex: z.hex(), hostname: z.hostname(), nanoid: z.nanoid(),
  cuid2: z.cuid2(), ulid: z.ulid(), e164: z.e164(), emoji: z.emoji(), jwt: z.jwt(),
  "iso date": z.iso.date(), "iso time": z.iso.time(), "iso datetime": z.iso.datetime(),
  "iso datetime with offset": z.iso.datetime({ offset: true }), "iso duration": z.iso.duration(),
  number: z.number(), int: z.int(), int32: z.int32(), uint32: z.uint32(), float32: z.float32(),
  positive: z.number().positive(), nonnegative: z.number().nonnegative(), between: z.number().gt(0).lt(1),
  multipleOf: z.number().multipleOf(5), boolean: z.boolean(), null: z.null(), any: z.any(), unknown: z.unknown(),
  literal: z.literal("a"), literals: z.literal(["a", 1, null]), enum: z.enum(["red", "green"]),
  "native enum": z.enum({ Up: 1, Down: 2 }), array: z.array(z.string()), "array min max": z.array(z.int()).min(1).max(3),
  nonempty: z.array(z.int()).nonempty(), tuple: z.tuple([z.string(), z.number()]),
  "tuple with rest": z.tuple([z.string()], z.number()), object: z.object({ a: z.string(), b: z.number().optional() }),
  "strict object": z.strictObject({ a: z.string() }), "loose object": z.looseObject({ a: z.string() }),
  catchall: z.object({ a: z.string() }).catchall(z.number()), nested: z.object({ a: z.object({ b: z.array(z.object({ c: z.boolean() })) }) }),
  extend: z.object({ a: z.string() }).extend({ b: z.int() }), pick: z.object({ a: z.string(), b: z.int() }).pick({ a: true }),
  partial: z.object({ a: z.string(), b: z.int() }).partial(), record: z.record(z.string(), z.number()),
  "record of an enum": z.record(z.enum(["a", "b"]), z.number()), "partial record": z.partialRecord(z.enum(["a", "b"]), z.number()),
  "record of a pattern": z.record(z.string().regex(/^k\d$/), z.number()),
  union: z.union([z.string(), z.number()]), "union of objects": z.union([cat, dog]),
  "discriminated union": z.discriminatedUnion("kind", [cat, dog]), intersection: z.intersection(z.object({ a: z.string() }), z.object({ b: z.int() })),
  optional: z.object({ a: z.string().optional() }), nullable: z.string().nullable(), nullish: z.object({ a: z.string().nullish() }),
  default: z.object({ a: z.string().default("x") }), prefault: z.object({ a: z.string().prefault("x") }), catch: z.object({ a: z.int().catch(3) }),
  readonly: z.object({ a: z.string() }).readonly(), brand: z.string().brand("id"), described: z.string().describe("A name."),
  meta: z.object({ a: z.string().meta({ id: "name", title: "Name", examples: ["Ada"] }) }), refine: z.string().refine((it) => it.length > 1),
  "string coerced": z.coerce.number(), pipe: z.string().pipe(z.string().max(3)), lazy: z.lazy(() => z.string()), tree,
  json: z.json(), template: z.templateLiteral(["v", z.number(), ".", z.enum(["a", "b"])]), stringbool: z.stringbool(),
  trim: z.string().trim(), lowercase: z.string().lowercase(),
};

// Values that zod itself parses, and values that it refuses. The script fails where zod decides otherwise.
const examples = {
  "string min max": [["a", "abcdefghi"], ["", "abcdefghij", 1]], regex: [["ab-1", "abcde-22"], ["a-1", "ab-", "AB-1"]],
  startsWith: [["abc"], ["xab"]], endsWith: [["xyz"], ["yzx"]], includes: [["amb"], ["a"]],
  email: [["ada@example.com"], ["ada", "a@b"]], uuid: [["123e4567-e89b-12d3-a456-426614174000"], ["123e4567"]],
  ipv4: [["127.0.0.1"], ["256.1.1.1", "1.1.1"]], "iso date": [["2024-02-29"], ["2023-02-29", "2024-13-01"]],
  "iso datetime": [["2024-02-29T12:34:56Z"], ["2024-02-29", "2024-02-29T25:00:00Z"]],
  int: [[0, -7, 12], [1.5, "1"]], int32: [[2147483647], [2147483648]], uint32: [[0], [-1]], float32: [[1.5, -7], ["x"]],
  positive: [[0.5, 3], [0, -1]], between: [[0.5], [0, 1, 2]], multipleOf: [[0, 15], [7]], null: [[null], [0]],
  literals: [["a", 1, null], ["b", 2]], "native enum": [[1, 2], [3, "Up"]], "array min max": [[[1], [1, 2, 3]], [[], [1, 2, 3, 4]]],
  nonempty: [[[1]], [[]]], tuple: [[["a", 1]], [["a"], [1, "a"]]], "tuple with rest": [[["a"], ["a", 1, 2]], [["a", "b"], []]],
  object: [[{ a: "x", b: 1 }, { a: "x" }], [{ b: 1 }, { a: 1 }]], "strict object": [[{ a: "x" }], [{ a: "x", b: 1 }]],
  "loose object": [[{ a: "x", c: 1 }], [{ c: 1 }]], catchall: [[{ a: "x", c: 1 }], [{ a: "x", c: "y" }]],
  partial: [[{}, { b: 1 }], [{ b: "x" }]], record: [[{}, { any: 1 }], [{ any: "x" }]],
  "record of an enum": [[{ a: 1, b: 2 }], [{ a: 1 }, { a: 1, b: 2, c: 3 }]], "partial record": [[{}, { b: 1 }], [{ c: 1 }]],
  "record of a pattern": [[{ k1: 1 }], [{ x: 1 }, { k1: "x" }]], union: [["a", 1], [true]],
  "discriminated union": [[{ kind: "cat", lives: 9 }, { kind: "dog", name: "Rex" }], [{ kind: "cat", name: "Rex" }, { kind: "cow" }]],
  intersection: [[{ a: "x", b: 1 }], [{ a: "x" }]], nullable: [["a", null], [1]], nullish: [[{}, { a: null }], [{ a: 1 }]],
  tree: [[{ value: 1, children: [{ value: 2, children: [] }] }], [{ value: 1 }]], json: [[{ a: [1, null] }], []],
  template: [["v1.a"], ["v.a", "v1.c"]],
};
for (const [name, [right, wrong]] of Object.entries(examples)) {
  for (const value of right) types[name].parse(value);
  for (const value of wrong) if (types[name].safeParse(value).success) throw new Error(`${name} takes ${value}`);
}

const written = {};
const add = (name, type, options, [right, wrong] = [[], []]) => {
  written[name] = { schema: z.toJSONSchema(type, options), right, wrong };
};
for (const [name, type] of Object.entries(types)) {
  add(name, type, { io: "output" }, examples[name]);
  add(`${name}, input`, type, { io: "input" }, examples[name]);
  const [output, input] = [written[name], written[`${name}, input`]];
  if (JSON.stringify(output) === JSON.stringify(input)) delete written[`${name}, input`];
}
add("nested, draft-7", types.nested, { target: "draft-7" });
add("tuple, draft-7", types.tuple, { target: "draft-7" });
add("nullable, openapi-3.0", z.object({ a: types.nullable }), { target: "openapi-3.0" });
console.log(JSON.stringify(written, null, 1));
