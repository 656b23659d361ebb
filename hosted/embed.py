#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turns files, one after the other, into a C array: embed.py OUTPUT HEADER SYMBOL INPUT..."""
import sys

target, header, symbol, *sources = sys.argv[1:]
data = b""
for source in sources:
    with open(source, "rb") as file:
        data += file.read()
with open(target, "w", encoding="ascii") as out:
    out.write(f'/* Made by embed.py. */\n#include "{header}"\n\n')
    out.write(f"const unsigned char {symbol}[] = {{\n")
    for at in range(0, len(data), 16):
        out.write("\t" + " ".join(f"{byte}," for byte in data[at : at + 16]) + "\n")
    out.write(f"}};\n\nconst size_t {symbol}_len = {len(data)};\n")
