"""The text messages services really send, in several styles each, and the code found in a text."""

from __future__ import annotations

import re
import zlib

# {c} stands for the code as the service prints it. The shape before the texts: d = digit, anything else stays.
_STYLES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "wa": (
        "WhatsApp",
        "ddd-ddd",
        (
            "Your WhatsApp code: {c}\n\nDon't share this code with others\n4sgLq1p5sV6",
            "<#> Your WhatsApp account is being registered on a new device\n\nDo not share code with anyone\n\n"
            "Your WhatsApp code: {c}\n4sgLq1p5sV6",
            "Votre code WhatsApp : {c}\nNe le partagez avec personne",
        ),
    ),
    "tg": (
        "Telegram",
        "ddddd",
        (
            "Telegram code: {c}\n\nYou can also tap on this link to log in:\nhttps://t.me/login/{c}",
            "Telegram code {c}",
            "{c} is your Telegram login code. Do not give it to anyone.",
        ),
    ),
    "go": (
        "Google",
        "G-dddddd",
        ("{c} is your Google verification code.", "{c} is your Google verification code. Don't share it."),
    ),
    "fb": (
        "Facebook",
        "ddddd",
        (
            "{c} is your Facebook confirmation code",
            "FB-{c} is your Facebook confirmation code",
            "Use {c} as your login code for Facebook.",
        ),
    ),
    "ig": (
        "Instagram",
        "ddd ddd",
        ("Use {c} to verify your Instagram account.", "{c} is your Instagram code. Don't share it."),
    ),
    "lf": (
        "TikTok",
        "dddddd",
        ("[TikTok] {c} is your verification code, valid for 5 minutes.", "[TikTok] {c} 是您的验证码,5 分钟内有效。"),
    ),
    "ds": ("Discord", "dddddd", ("Your Discord verification code is: {c}",)),
    "tw": ("X", "dddddd", ("Your X confirmation code is {c}. Don't reply to this message with your code.",)),
    "am": (
        "Amazon",
        "dddddd",
        ("{c} is your Amazon OTP. Do not share it with anyone.", "Your Amazon verification code is {c}"),
    ),
    "mm": ("Microsoft", "dddd", ("Use {c} as Microsoft account security code", "Microsoft access code: {c}")),
    "dr": (
        "OpenAI",
        "dddddd",
        (
            "Your OpenAI verification code is: {c}",
            "Your OpenAI API verification code is: {c}. Don't share this code with anyone.",
        ),
    ),
    "ub": ("Uber", "dddd", ("Your Uber code is {c}. Never share this code. Reply STOP ALL to unsubscribe.",)),
    "tx": ("Bolt", "dddd", ("Your Bolt code: {c}", "Bolt code: {c}. Don't share it with anyone. ID: Y4bVFyTbrX3")),
    "oi": ("Tinder", "dddddd", ("Your Tinder code is {c} Don't share",)),
    "bw": (
        "Signal",
        "ddd-ddd",
        ("SIGNAL: Your code is: {c} Do not share this code", "Your Signal verification code: {c}"),
    ),
    "vi": (
        "Viber",
        "dddddd",
        (
            "Your Viber code: {c}\nYou can also tap this link to finish your activation:\nhttps://viber.com/activate/{c}",
        ),
    ),
    "fu": ("Snapchat", "dddddd", ("Snapchat Code: {c}. Happy Snapping!",)),
    "tn": ("LinkedIn", "dddddd", ("Your LinkedIn verification code is {c}.",)),
    "nf": ("Netflix", "dddddd", ("Your Netflix code is {c}. It expires in 20 minutes.",)),
    "mt": ("Steam", "ddddd", ("Your Steam verification code is {c}",)),
    "wx": ("Apple", "dddddd", ("Your Apple ID Code is: {c}. Don't share it with anyone.",)),
    "ts": ("PayPal", "dddddd", ("PayPal: {c} is your security code. Don't share your code.",)),
    "re": (
        "Coinbase",
        "ddddddd",
        (
            "Your Coinbase verification code is: {c}. Don't share this code with anyone; "
            "our employees will never ask for it.",
        ),
    ),
    "ij": ("Revolut", "ddd-ddd", ("Your Revolut verification code is {c}. Never share it, not even with us.",)),
    "bc": ("GCash", "dddddd", ("{c} is your GCash one-time pin. It is valid for 5 minutes. NEVER share it.",)),
}
_ANY = (
    "dddddd",
    (
        "Your {name} verification code is {c}",
        "{c} is your {name} code. It expires in 10 minutes.",
        "{name}: use code {c} to confirm your phone. Do not share it.",
    ),
)

_CODE = re.compile(r"(?<![\d+])(?:\d{3}[- ]\d{3}|\d{4,8})(?!\d)")


def compose(service_code: str, service_name: str, seed: int) -> tuple[str, str]:
    """A sender and a text for one service. The same seed gives the same text; the next seed the next style."""
    sender, shape, texts = _STYLES.get(service_code, (service_name, *_ANY))
    digits = iter(f"{zlib.crc32(f'{service_code}{seed}'.encode()) * 7919 % 10**9:09d}")
    code = "".join(next(digits) if letter == "d" else letter for letter in shape)
    return sender, texts[seed % len(texts)].format(c=code, name=service_name)


def parse_code(text: str) -> str | None:
    """The digits a provider would pick out of a text, without separators; None when there is no code in it."""
    found = _CODE.search(text)
    return re.sub(r"\D", "", found.group()) if found else None
