"""Write the cases of extract-contact and sender: short messages with contact details, and these details.

    .venv/bin/python data/make_contacts.py [--out data/prompts]

The messages are made here from names, firms, streets and phrasings of several languages, by a fixed seed. Names of
people and firms are invented, telephone numbers come from ranges reserved for fiction, addresses from domains reserved
for examples (RFC 2606). The details to extract are known, because they were put in. A field that is not in the message
is null: leaving it out is part of the task.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

SEED = 20261124
CASES, DEV = 120, 20
PROMPTS = {"extract-contact": ("name", "company", "email", "phone"), "sender": ("name",)}
PEOPLE = [
    "Ana Silva", "Bram de Wit", "Chiara Russo", "Dmitri Orlov", "Elif Kaya", "Femi Adeyemi", "Grace O'Neill",
    "Hana Novak", "Ivan Petrov", "Julia Weber", "Kenji Mori", "Lena Fischer", "Mateo García", "Nora Lind",
    "Omar Haddad", "Priya Nair", "Quentin Roux", "Rosa Jiménez", "Søren Holm", "Tara Singh", "Uwe Brandt",
    "Vera Kuznetsova", "Wen Li", "Yusuf Demir", "Zoë Martin",
]  # fmt: skip
FIRMS = [
    "Northwind Ferries", "Harbor & Sons", "Lumen Optics", "Atlas Freight", "Bluebird Books", "Café Miramar",
    "Delta Tools GmbH", "Ember Energy", "Fjord Foods AS", "Granite Studio", "Heron Legal", "Iris Labs",
]  # fmt: skip
FULL = [
    "Hi,\n\nthanks for the call. My details: {name}, {firm}, {email}, {phone}.\n\nBest,\n{first}",
    "{name}\n{firm}\nTel. {phone}\n{email}",
    "Hello team, please send the invoice to {email}. You can also ring me on {phone}.\n-- \n{name} | {firm}",
    "Guten Tag,\nbitte rufen Sie mich unter {phone} an.\nMit freundlichen Grüßen\n{name}\n{firm}\n{email}",
    "Bonjour, je suis {name} de {firm}. Mon adresse : {email}, mon téléphone : {phone}. Merci !",
    "From: {name} <{email}>\nSubject: delivery\n\nThe crates for {firm} arrived late. Call {phone}.",
]
NO_PHONE = [
    "Dear support, I am {name} from {firm} and cannot log in. Write to {email} please.",
    "{name} ({firm}) wants a quote by Friday, reply to {email}.",
    "Hola, soy {name}. Trabajo en {firm}. Mi correo es {email}. Gracias.",
]
NO_EMAIL = [
    "Phone note: {name} of {firm} rang, wants to be called back on {phone}.",
    "{first} here ({name}, {firm}). My mail is down, so please call {phone}.",
]
NO_FIRM = [
    "Hi, it's {name}. New number: {phone}. Mail stays {email}.",
    "Please add me to the list: {name}, {email}, {phone}",
]


def case(number: int, chance: random.Random) -> dict[str, object]:
    """One message and its details."""
    name, firm = chance.choice(PEOPLE), chance.choice(FIRMS)
    first, last = name.split(" ", 1)
    plain = "".join(
        letter for letter in f"{first}.{last}".lower() if letter.isascii() and (letter.isalnum() or letter == ".")
    )
    email = f"{plain}@{chance.choice(['example.com', 'example.org', 'mail.example.net'])}"
    phone = chance.choice(["+1 202-555-01{:02d}", "020 7946 0{:03d}", "+49 30 23125 {:03d}", "(02) 5550 1{:03d}"])
    phone = phone.format(chance.randrange(100))
    kind = chance.choices(["full", "no phone", "no email", "no firm"], [5, 2, 2, 2])[0]
    templates = {"full": FULL, "no phone": NO_PHONE, "no email": NO_EMAIL, "no firm": NO_FIRM}[kind]
    text = chance.choice(templates).format(name=name, first=first, firm=firm, email=email, phone=phone)
    found = {
        "name": name,
        "company": None if kind == "no firm" else firm,
        "email": None if kind == "no email" else email,
        "phone": None if kind == "no phone" else phone,
    }
    return {"id": f"contact-{number:03d}", "slice": kind, "text": text, **found}


def main() -> None:
    """Write cases and, apart from them, a few for working on the prompt."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "prompts")
    out = parser.parse_args().out
    chance, seen, made = random.Random(SEED), set[str](), list[dict[str, object]]()
    while len(made) < CASES + DEV:
        one = case(len(made), chance)
        if one["text"] not in seen:
            seen.add(str(one["text"]))
            made.append(one)
    for prompt, keys in PROMPTS.items():
        (out / prompt).mkdir(parents=True, exist_ok=True)
        for name, part in (("cases.jsonl", made[:CASES]), ("dev.jsonl", made[CASES:])):
            rows = [{key: one[key] for key in ("id", "slice", "text", *keys)} for one in part]
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (out / prompt / name).write_text(text, encoding="utf-8")
            print(f"{out / prompt / name}: {len(part)} cases")


if __name__ == "__main__":
    main()
