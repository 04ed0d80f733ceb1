"""What an open page is told, through two real gunicorn processes."""

import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime

import pytest
from websocket import WebSocketBadStatusException

from namaskah import live
from namaskah.live.pages import MAX_PAGES_OF_USER
from namaskah.live.views import FETCH_AGAIN_FRAME
from tests.live.live_app import LARGE
from tests.live.stand import SMALL_BUFFER, Stand, Web, close_code, nothing_arrives, pushed

User = Callable[..., int]


def test_a_change_reaches_its_owner_and_nobody_else(web: Web, user: User) -> None:
    alice, bob = user(), user()
    with closing(web.page(alice)) as hers, closing(web.page(bob)) as his:
        live.publish(alice, "card", 7)
        assert f'hx-target="#card-7" hx-swap="outerMorph"><p id="card-7" data-of="{alice}"' in pushed(hers)
        assert nothing_arrives(his)


def test_every_process_tells_the_pages_it_serves(web: Web, user: User) -> None:
    alice = user()
    pages = [web.page(alice) for _ in range(12)]
    live.publish(alice, "card", 1)
    processes = {pushed(page).partition('data-process="')[2].partition('"')[0] for page in pages}
    for page in pages:
        page.close()
    assert len(processes) == 2


def test_a_push_speaks_the_viewers_language_and_time_zone(web: Web, user: User) -> None:
    english = user(language="en", timezone="Africa/Lagos")
    arabic = user(language="ar", timezone="Africa/Nairobi")
    with closing(web.page(english)) as first, closing(web.page(arabic)) as second:
        live.publish(english, "card", 1)
        live.publish(arabic, "card", 1)
        assert "Monday, 23 November 2026" in (shown := pushed(first)) or "Monday, November 23, 2026" in shown
        assert "1:00" in shown
        assert "نوفمبر" in (shown := pushed(second))
        assert "3:00" in shown or "٣:٠٠" in shown


def test_a_new_language_counts_from_the_next_push_on(web: Web, user: User, change_user: Callable[..., None]) -> None:
    alice = user(language="en")
    with closing(web.page(alice)) as page:
        change_user(alice, language="ar")
        live.publish(alice, "card", 1)
        assert "نوفمبر" in pushed(page)


def test_a_topic_of_which_all_changed_is_drawn_whole(web: Web, user: User) -> None:
    alice = user()
    with closing(web.page(alice)) as page:
        live.publish(alice, "card")
        assert f"all of {alice}" in page.recv()


def test_a_renderer_with_a_fault_makes_the_page_ask_for_itself(web: Web, user: User) -> None:
    alice = user()
    with closing(web.page(alice)) as page:
        live.publish(alice, "broken", 1)
        assert pushed(page) == FETCH_AGAIN_FRAME
        live.publish(alice, "card", 1)
        assert "card-1" in pushed(page)


def test_a_page_of_another_site_is_refused(web: Web, user: User) -> None:
    alice = user()
    for origin in ("https://evil.example", f"http://127.0.0.1:{web.port + 1}", "null", None):
        with pytest.raises(WebSocketBadStatusException, match="403"):
            web.connect(alice, origin=origin)


def test_a_visitor_is_refused(web: Web) -> None:
    with pytest.raises(WebSocketBadStatusException, match="401"):
        web.connect(None)


def test_an_ordinary_request_is_not_taken_for_a_socket(web: Web) -> None:
    assert web.get("/live").status == 400


def test_a_banned_users_socket_closes(web: Web, user: User, change_user: Callable[..., None]) -> None:
    alice = user()
    with closing(web.page(alice)) as page:
        change_user(alice, banned_at=datetime.now(UTC))
        live.publish(alice, "card", 7)
        assert close_code(page) == 1008
    with pytest.raises(WebSocketBadStatusException, match="401"):
        web.connect(alice)


def test_the_socket_of_an_ended_session_closes(web: Web, user: User, end_sessions: Callable[[int], None]) -> None:
    alice = user()
    with closing(web.page(alice)) as page:
        end_sessions(alice)
        assert close_code(page) == 1008


def test_the_socket_of_a_session_whose_token_was_exchanged_stays(
    web: Web, user: User, exchange_token: Callable[[int], None]
) -> None:
    alice = user()
    with closing(web.page(alice)) as page:
        exchange_token(alice)
        live.publish(alice, "card", 7)
        assert "card-7" in page.recv()


def test_a_page_that_speaks_is_closed(web: Web, user: User) -> None:
    with closing(web.page(user())) as page:
        page.send("hello")
        assert close_code(page) == 1008


def test_one_account_cannot_take_all_sockets_of_a_process(lone_web: Web, user: User) -> None:
    alice, bob = user(), user()
    pages = [lone_web.page(alice) for _ in range(MAX_PAGES_OF_USER)]
    with pytest.raises(WebSocketBadStatusException, match="429"):
        lone_web.connect(alice)
    lone_web.page(bob).close()
    pages.pop().close()
    time.sleep(0.3)
    lone_web.page(alice).close()
    for page in pages:
        page.close()


def test_after_redis_was_away_every_page_gets_its_state_and_further_pushes(web: Web, stand: Stand, user: User) -> None:
    alice, bob = user(), user()
    with closing(web.page(alice)) as hers, closing(web.page(bob)) as his:
        stand.restart_redis(away=0.5)
        assert f"all of {alice}" in hers.recv()
        assert f"all of {bob}" in his.recv()
        time.sleep(1.1)  # the publisher's pause
        live.publish(alice, "card", 8)
        assert "card-8" in pushed(hers)


def test_a_slow_reader_gets_whole_frames(web: Web, user: User) -> None:
    alice = user()
    with closing(web.connect(alice, buffer=SMALL_BUFFER)) as page:
        assert f"all of {alice}" in page.recv()
        seen: list[int] = []
        for number in range(30):
            live.publish(alice, "large", number)
            time.sleep(0.01)
        while not seen or seen[-1] != 29:
            for frame in pushed(page).split("</p>")[:-1]:
                before, body, after = frame.removeprefix("<p>").split(":")
                assert before == after
                assert body == "x" * LARGE
                seen.append(int(before))
            time.sleep(0.02)
        assert seen == list(range(30))


def test_a_page_told_more_than_it_can_hold_fetches_again(web: Web, user: User) -> None:
    alice = user()
    with closing(web.connect(alice, buffer=SMALL_BUFFER)) as page:
        assert f"all of {alice}" in page.recv()
        for number in range(20):
            live.publish(alice, "large", number)
        time.sleep(0.7)  # its thread is stuck sending now, the queue fills
        for number in range(100, 200):
            live.publish(alice, "card", number)
        frames = ""
        while "card-199" not in frames:
            frames += str(page.recv())
        assert FETCH_AGAIN_FRAME in frames
        assert 'id="card-100"' not in frames


def test_sixty_sockets_leave_a_pool_of_five_to_the_pages(lone_web: Web, user: User) -> None:
    users = [user() for _ in range(60)]
    pages = [lone_web.page(someone) for someone in users]
    assert lone_web.get("/test/slow-query").read() == b"slept"
    for someone in users:
        live.publish(someone, "card", 3)
    started = time.monotonic()
    assert lone_web.get("/test/slow-query").read() == b"slept"
    assert time.monotonic() - started < 2
    for page in pages:
        assert "card-3" in pushed(page)
        page.close()


def test_sigterm_sends_the_pages_elsewhere_at_once(lone_web: Web, user: User) -> None:
    pages = [lone_web.page(user()) for _ in range(20)]
    started = time.monotonic()
    lone_web.process.terminate()
    assert {close_code(page) for page in pages} == {1012}
    assert time.monotonic() - started < 2
    assert lone_web.process.wait(5) == 0


def test_sigterm_does_not_wait_for_a_reader_that_takes_nothing(lone_web: Web, user: User) -> None:
    alice = user()
    with closing(lone_web.connect(alice, buffer=SMALL_BUFFER)) as page:
        page.recv()
        for number in range(10):
            live.publish(alice, "large", number)
        time.sleep(0.3)
        assert lone_web.stop() < 5
