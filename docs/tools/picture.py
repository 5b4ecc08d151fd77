#!/usr/bin/env python3
"""Draws the first LINES lines of a text as a terminal, for the README:

    countersign demo | grep -v "^    " | picture.py 57 > docs/demo.svg
"""
import html
import sys

SIZE, LEADING, MARGIN = 13, 18, 16
WIDTH = SIZE * 0.602

lines = ["$ cargo run --release -- demo", ""] + sys.stdin.read().split("\n")[: int(sys.argv[1])]
lines = [line if len(line) < 150 else line[:148] + " …" for line in lines]
width = round(max(map(len, lines)) * WIDTH + 2 * MARGIN)
height = len(lines) * LEADING + 2 * MARGIN
print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">')
print(f'<rect width="{width}" height="{height}" rx="8" fill="#16181d"/>')
print(f'<g font-family="ui-monospace, Menlo, Consolas, monospace" font-size="{SIZE}" fill="#d7dae0">')
for number, line in enumerate(lines):
    if line:
        colour = ' fill="#7fd28a"' if "refused by both ends" in line or "succeeded" in line else ""
        y = MARGIN + (number + 0.75) * LEADING
        print(f'<text x="{MARGIN}" y="{y:g}" xml:space="preserve"{colour}>{html.escape(line)}</text>')
print("</g>\n</svg>")
