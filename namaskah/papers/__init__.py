"""PDF papers: receipts, statements, evidence. A paper is described by plain values (paper.py) and printed (printer.py).

    paper = Paper(title="Receipt NK-2026-000001", language="ar", made_at=issued_at, head="Receipt", blocks=[
        Columns([("From", ["Acme Ltd"]), ("To", ["Ada Obi"])]),
        Table([Column("What", 3), Column("Amount", 1, is_amount=True)], [["Top-up", "₦2,500.00"]]),
        Totals([("Net", "₦2,325.58"), ("Total", "₦2,500.00")]),
        Text("Paid in full.", small=True),
    ])
    pdf: bytes = printer.printed(paper)

Texts come ready for the reader: this room knows no language, only scripts. Each text takes its own direction, as with
dir="auto"; the layout is mirrored for a language that is written from the right.

Fonts: Noto Sans (Latin, Greek, Cyrillic, Devanagari) and Noto Sans Arabic, cut to paper.LETTERS with all their shaping
rules and without hints; licence in fonts/OFL.txt.
"""
