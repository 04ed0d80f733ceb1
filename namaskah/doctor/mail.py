"""The mail server: whether it answers, speaks TLS, and knows us. No letter is sent."""

import smtplib
import ssl
from typing import Any

from namaskah.doctor.findings import Finding, bad, ok, warning
from namaskah.production import LOOPBACK

SECONDS = 10


def look(values: dict[str, Any]) -> list[Finding]:
    where = f"{values['MAIL_SERVER']}:{values['MAIL_PORT']}"
    try:
        with smtplib.SMTP(values["MAIL_SERVER"], values["MAIL_PORT"], timeout=SECONDS) as server:
            return _talk(server, values, where)
    except smtplib.SMTPAuthenticationError as error:
        mend = "Check MAIL_USERNAME and MAIL_PASSWORD; many hosts want a password made for programs."
        return [bad("mail", f"{where} refuses our log-in ({error.smtp_code})", mend)]
    except smtplib.SMTPNotSupportedError:
        mend = "Another port (587), or MAIL_USE_TLS and MAIL_USERNAME as your mail host says."
        return [bad("mail", f"{where} offers no STARTTLS, or no log-in", mend)]
    except ssl.SSLError as error:
        mend = "MAIL_SERVER must be the name its certificate is for."
        return [bad("mail", f"the certificate of {where} is not good: {error.reason or type(error).__name__}", mend)]
    except (OSError, smtplib.SMTPException) as error:
        mend = "Check MAIL_SERVER and MAIL_PORT, and that your host lets mail out (Render blocks port 25: use 587)."
        return [bad("mail", f"{where} does not answer as a mail server: {type(error).__name__}", mend)]


def _talk(server: smtplib.SMTP, values: dict[str, Any], where: str) -> list[Finding]:
    server.ehlo()
    if values["MAIL_USE_TLS"]:
        server.starttls(context=ssl.create_default_context())
        server.ehlo()
    if values["MAIL_USERNAME"]:
        server.login(values["MAIL_USERNAME"], values["MAIL_PASSWORD"])
    code, _words = server.noop()
    if code != 250:
        return [bad("mail", f"{where} answers {code}", "Look at the mail host's page.")]
    how = " over TLS" if values["MAIL_USE_TLS"] else ""
    found = [ok("mail", f"{where} takes our mail{how}{', logged in' if values['MAIL_USERNAME'] else ''}")]
    if not values["MAIL_USE_TLS"] and values["MAIL_SERVER"] not in LOOPBACK:
        found.append(warning("mail privacy", "letters travel to it in the clear", "Set MAIL_USE_TLS=yes."))
    return found
