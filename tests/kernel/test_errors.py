"""The codes that clients depend on."""

from __future__ import annotations

from mirada.kernel import errors

CODES = {
    "not_found",
    "not_authenticated",
    "not_allowed",
    "scope_missing",
    "invalid_input",
    "unsupported_image",
    "corrupt_image",
    "image_too_large",
    "conflict",
    "precondition_failed",
    "embedding_space_mismatch",
    "unavailable",
    "storage_full",
    "encoder_unavailable",
    "no_answer",
    "language_model_refused",
    "unusable_reply",
    "garbled_reply",
    "out_of_tokens",
    "deferred",
    "too_many_requests",
    "circuit_open",
    "budget_reached",
    "key_refused",
    "model_unusable",
    "lease_lost",
    "snapshot_invalid",
    "search_expired",
    "export_expired",
    "quota_reached",
    "address_refused",
    "call_failed",
    "unfit_answer",
}


def test_every_error_keeps_its_code() -> None:
    found = {
        error.code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.MiradaError)
    }
    assert found == {"error", *CODES}
