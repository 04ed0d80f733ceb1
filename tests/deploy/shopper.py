"""Somebody who opens an account, pays, buys and gets a code, through whatever stands at the site's address.

They press a button again when no answer came, or none from us, as people do; the form is the same one then.
"""

import re
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import closing
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from uuid import uuid4

from websocket import WebSocket, WebSocketTimeoutException, create_connection

from tests.deploy.proxy import UPSTREAM
from tests.support import Control, wait_until

PAID_MINOR = 500_000
FROM_THE_PROXY = (502, 504)  # nobody of ours has said anything


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: object) -> None:
        return None


@dataclass
class Answer:
    status: int
    body: str
    headers: dict[str, str]

    @property
    def way_on(self) -> str:
        return self.headers.get("location", "")


@dataclass
class Shopper:
    """`statuses` are all answers to what was only looked at; `presses` counts buttons pressed again."""

    url: str
    control: Control
    email: str = field(default_factory=lambda: f"{secrets.token_hex(6)}@example.com")
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    statuses: list[int] = field(default_factory=list)
    presses: int = 0
    sockets: list[WebSocket] = field(default_factory=list)
    jar: CookieJar = field(default_factory=CookieJar)

    def __post_init__(self) -> None:
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar), Stay())
        self._token = ""

    def look(self, address: str) -> Answer:
        """A page; what a proxy may and must ask another server for when the first one is gone."""
        answer = self._ask(address)
        self.statuses.append(answer.status)
        return answer

    def press(self, address: str, **form: str) -> Answer:
        """A form, sent again until somebody of ours has answered."""
        for _press in range(20):
            try:
                answer = self._ask(address, form | {"csrf_token": self._token})
            except OSError:
                answer = None
            if answer is not None and answer.status not in FROM_THE_PROXY:
                return answer
            self.presses += 1
            time.sleep(0.2)
        raise AssertionError(f"{address} was never answered")

    def _ask(self, address: str, form: dict[str, str] | None = None) -> Answer:
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        request = urllib.request.Request(urllib.parse.urljoin(self.url, address), data)
        try:
            answer = self._opener.open(request, timeout=40)
        except urllib.error.HTTPError as error:
            answer = error
        with closing(answer):
            body = answer.read().decode("utf-8", "replace")
            headers = {name.lower(): value for name, value in answer.headers.items()}
            if found := re.search(r'name="csrf_token"[^>]* value="([^"]+)"', body):
                self._token = found[1]
            return Answer(int(answer.status or 0), body, headers)

    def sign_up(self) -> None:
        """An account whose address is confirmed, and a log-in."""
        self.look("/register")
        assert self.press("/register", email=self.email, password=self.password, accept="y").status == 303
        links = wait_until(lambda: self.links("/verify-email/"), 40, "the first letter")
        self.look(links[0])
        assert self.press(links[0]).status == 303
        self.look("/login")
        logged_in = self.press("/login", email=self.email, password=self.password)
        assert logged_in.status == 303, re.findall(r'role="alert".*?</', logged_in.body, re.DOTALL)

    def links(self, kind: str) -> list[str]:
        return [link for mail in self.control.mails(self.email) for link in mail["links"] if kind in link]

    def begin_to_pay(self) -> str:
        """The gateway's page."""
        [key] = re.findall(r'name="key"[^>]* value="([^"]+)"', self.look("/wallet").body)[:1]
        opened = self.press("/wallet/top-up", amount=str(PAID_MINOR // 100), key=key)
        assert opened.status == 303, opened.body[:2000]
        return self.look(opened.way_on).headers["refresh"].partition("url=")[2]

    def pay(self, checkout: str) -> None:
        """And back to us."""
        back = self._ask(checkout, {"action": "pay"})
        assert back.status == 303
        # A server that is gone at this moment shows the proxy's error, or the payment is being confirmed: look again.
        wait_until(lambda: "is in your wallet" in self.look(self.look(back.way_on).way_on).body, 20, "the money")

    def buy(self) -> str:
        """The activation's page."""
        form = {"service": "whatsapp", "country": "NG", "operator": "", "max_price_minor": str(10**9)}
        bought = self.press("/activations", key=uuid4().hex, **form)
        assert bought.status == 303 and "/activations/" in bought.way_on, (bought.status, bought.way_on)
        return bought.way_on

    def open_page(self) -> str:
        """One more socket; returns the server that holds it, where nginx tells."""
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.jar)
        address = self.url.replace("http", "ws", 1)
        ws = create_connection(f"{address}/live", timeout=10, cookie=cookies, origin=self.url)
        self.sockets.append(ws)
        return str(ws.headers.get(UPSTREAM.lower(), ""))

    def waits_for(self, text: str, seconds: float = 20) -> float:
        """Until every open page was sent it; a page whose server has gone connects again, as it does in browsers.
        Returns the longest that a page was without a socket."""
        away, until = 0.0, time.monotonic() + seconds
        for number in range(len(self.sockets)):
            while text not in (frame := self._frame(number)):
                assert time.monotonic() < until, f"{text!r} was not pushed"
                if frame == "closed":
                    away = max(away, self._connect_again(number, until))
        return away

    def _frame(self, number: int) -> str:
        try:
            self.sockets[number].settimeout(0.5)
            return str(self.sockets[number].recv()) or "closed"
        except WebSocketTimeoutException:
            return ""
        except Exception:  # whatever becomes of a socket whose server was killed
            return "closed"

    def _connect_again(self, number: int, until: float) -> float:
        began = time.monotonic()
        while True:
            try:
                self.open_page()
            except Exception:
                assert time.monotonic() < until, "no server takes the page"
                time.sleep(0.1)
            else:
                self.sockets[number].close()
                self.sockets[number] = self.sockets.pop()
                return time.monotonic() - began

    def leave(self) -> None:
        for ws in self.sockets:
            ws.close()
        self.sockets.clear()
