"""Paystack's dispute API: lists, one dispute, evidence, the signed address a file is put to, and the answer."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Any

from flask import Blueprint, Response, request, url_for

from .disputes import STATUSES, Dispute, dispute_data
from .paystack import ok, serve
from .till import Rejected, parse_amount
from .world import world

bp = Blueprint("dispute_api", __name__)
LARGEST_FILE = 5_000_000
EVIDENCE = ("customer_email", "customer_name", "customer_phone", "service_details")


def _data(dispute: Dispute) -> dict[str, Any]:
    here = world()
    return dispute_data(dispute, here.disputes.transaction_of(dispute), here.till.domain)


@bp.get("/paystack/dispute")
def listing() -> Response:
    return serve("dispute", _listing)


def _is_wanted(dispute: Dispute) -> bool:
    wanted, data = request.args, _data(dispute)
    at = data["createdAt"]
    return (
        wanted.get("status") in (None, "", dispute.status)
        and wanted.get("transaction") in (None, "", str(data["transaction"]["id"]))
        and wanted.get("from", "") <= at
        and (not wanted.get("to") or at[: len(wanted["to"])] <= wanted["to"])
    )


def _listing() -> Response:
    if request.args.get("status") not in (None, "", *STATUSES):
        raise Rejected("Invalid status")
    size = min(1000, max(1, request.args.get("perPage", 50, int)))
    page = max(1, request.args.get("page", 1, int))
    rows = [dispute for dispute in world().disputes.listing() if _is_wanted(dispute)]
    begin = (page - 1) * size
    meta = {"total": len(rows), "skipped": begin, "perPage": size, "page": page, "pageCount": -(-len(rows) // size)}
    return ok("Disputes retrieved", [_data(dispute) for dispute in rows[begin : begin + size]], meta=meta)


@bp.get("/paystack/dispute/<dispute_id>")
def fetch(dispute_id: str) -> Response:
    return serve("dispute", lambda: ok("Dispute retrieved", _data(world().disputes.must_find(dispute_id))))


@bp.get("/paystack/dispute/transaction/<transaction_id>")
def of_transaction(transaction_id: str) -> Response:
    def work() -> Response:
        found = [
            each for each in map(_data, world().disputes.listing()) if str(each["transaction"]["id"]) == transaction_id
        ]
        if not found:
            raise Rejected("Dispute not found", "dispute_not_found", 404)
        return ok("Dispute retrieved successfully", found[0])

    return serve("dispute", work)


@bp.post("/paystack/dispute/<dispute_id>/evidence")
def evidence(dispute_id: str) -> Response:
    def work() -> Response:
        dispute, wanted = world().disputes.must_find(dispute_id), _wanted()
        for name in EVIDENCE:
            if not str(wanted.get(name) or "").strip():
                raise Rejected(f"{name} is required")
        told = {name: wanted.get(name) for name in (*EVIDENCE, "delivery_address", "delivery_date")}
        return ok("Evidence created", world().disputes.keep_evidence(dispute, told))

    return serve("evidence", work)


@bp.get("/paystack/dispute/<dispute_id>/upload_url")
def upload_url(dispute_id: str) -> Response:
    def work() -> Response:
        dispute = world().disputes.must_find(dispute_id)
        if not request.args.get("upload_filename"):
            raise Rejected("upload_filename is required")
        name = f"{dispute.id}-{secrets.token_hex(8)}"
        address = url_for("dispute_api.upload", name=name, signature=_sign(name), _external=True)
        return ok("Upload url generated", {"signedUrl": address, "fileName": name})

    return serve("evidence", work)


@bp.put("/uploads/<name>")
def upload(name: str) -> Response:
    """Takes what is put to a signed address, as the storage behind Paystack does: no key but the signature."""

    def work() -> Response:
        body = request.get_data()
        if not hmac.compare_digest(_sign(name).encode(), request.args.get("signature", "").encode()):
            return Response("SignatureDoesNotMatch", 403)
        if not body or len(body) > LARGEST_FILE:
            return Response("EntityTooLarge", 400)
        journal = world().journal
        with journal.writing():
            content = base64.b64encode(body).decode()
            journal.put("upload", name, {"name": name, "sha256": hashlib.sha256(body).hexdigest(), "content": content})
        return Response("", 200)

    return world().serve("paystack", "upload", work, {})


@bp.put("/paystack/dispute/<dispute_id>/resolve")
def resolve(dispute_id: str) -> Response:
    def work() -> Response:
        dispute, wanted = world().disputes.must_find(dispute_id), _wanted()
        resolution = wanted.get("resolution")
        if resolution not in ("merchant-accepted", "declined"):
            raise Rejected("resolution must be one of [merchant-accepted, declined]")
        message, uploaded = str(wanted.get("message") or ""), str(wanted.get("uploaded_filename") or "")
        if not message:
            raise Rejected("message is required")
        parse_amount(wanted.get("refund_amount"))
        if uploaded not in {each["name"] for each in world().journal.all("upload")}:
            raise Rejected("uploaded_filename is not a file that was uploaded")
        world().disputes.answer(dispute, resolution, message, uploaded)
        return ok("Dispute successfully resolved", _data(dispute))

    return serve("resolve", work)


def _wanted() -> dict[str, Any]:
    wanted = request.get_json(silent=True)
    if not isinstance(wanted, dict):
        raise Rejected("Invalid request body")
    return wanted


def _sign(name: str) -> str:
    return hmac.new(world().config.paystack_secret_key.encode(), name.encode(), hashlib.sha256).hexdigest()
