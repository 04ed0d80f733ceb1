"""Ports that are picked before somebody listens there."""

from dev.process import free_port, port_is_free


def test_no_call_out_and_no_other_pick_takes_a_port_that_was_picked() -> None:
    picked = [free_port() for _ in range(50)]
    assert len(set(picked)) == 50
    assert all(port < 32_768 and port_is_free(port) for port in picked)
    assert free_port(picked[0]) == picked[0]
