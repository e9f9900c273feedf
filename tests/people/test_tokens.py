"""JWTs of the host product: which count, and why the others do not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from mirada.config import InvalidSettings, Settings
from mirada.kernel.errors import NotAuthenticated
from mirada.people.tokens import LEEWAY_S, MAX_TOKEN_CHARS, Tokens
from testing.tokens import SECRET, encoded, signed, token


def tokens(**settings: Any) -> Tokens:
    made = Tokens.of(Settings.from_env(**settings))
    assert made is not None
    return made


def by_secret(**settings: Any) -> Tokens:
    return tokens(jwt_secret=SECRET, **settings)


@cache
def private_key(kind: str) -> Any:
    if kind == "RSA":
        return rsa.generate_private_key(65537, 2048)
    if kind == "short RSA":
        return rsa.generate_private_key(65537, 1024)
    if kind == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key({"P-256": ec.SECP256R1, "P-384": ec.SECP384R1}[kind]())


def jwk(kind: str, *, is_secret: bool = False, **more: Any) -> dict[str, Any]:
    key = private_key(kind) if is_secret else private_key(kind).public_key()
    family = {"RSA": RSAAlgorithm, "short RSA": RSAAlgorithm, "Ed25519": OKPAlgorithm}
    found: dict[str, Any] = json.loads(family.get(kind, ECAlgorithm).to_jwk(key))
    return found | more


def written(path: Path, *keys: Any) -> Path:
    path.write_text(json.dumps({"keys": list(keys)}))
    return path


def made(kind: str, algorithm: str, **header: Any) -> str:
    claims = {"sub": "ana", "exp": int(time.time()) + 60}
    return jwt.encode(claims, private_key(kind), algorithm, headers=header)


def why(them: Tokens, sent: str) -> str:
    with pytest.raises(NotAuthenticated) as caught:
        them.external_id(sent)
    assert len(caught.value.detail) < 250
    return caught.value.detail


def test_a_good_token_names_a_person() -> None:
    assert by_secret().external_id(token()) == "ana@product"
    assert (
        by_secret().external_id(token("josé 😀", nbf=int(time.time()), iat=time.time()))
        == "josé 😀"
    )


def test_without_a_key_no_token_counts() -> None:
    assert Tokens.of(Settings.from_env()) is None


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (lambda: token(lasts_s=-LEEWAY_S - 5), "has expired"),
        (lambda: token(exp=0), "has expired"),
        (lambda: token(exp=None), "no 'exp'"),
        (lambda: token(None), "no 'sub'"),
        (lambda: token(42), "'sub' is no text"),
        (lambda: token({"id": 1}), "'sub' is no text"),
        (lambda: token(""), "sub takes one id"),
        (lambda: token("a,b"), "sub takes one id"),
        (lambda: token("a" * 192), "sub takes one id"),
        (lambda: token("a\0"), "sub takes one id"),
        (lambda: token(nbf=int(time.time()) + LEEWAY_S + 60), "not valid yet"),
        (lambda: token(iat=int(time.time()) + LEEWAY_S + 60), "not valid yet"),
        (lambda: token(aud="elsewhere"), "another audience"),
        (lambda: token(secret="x" * 40), "not valid"),
        (lambda: token()[:-2], "not valid"),
        (lambda: token().rpartition(".")[0] + ".", "not valid"),
        (lambda: token(header={"alg": "none"}), "No key of this server fits"),
        (lambda: token(header={"alg": "None"}).rpartition(".")[0] + ".", "No key"),
        (lambda: token(header={"alg": "HS512"}), "No key"),
        (lambda: token(header={"alg": "RS256"}), "No key"),
        (lambda: token(header={"alg": ["HS256"]}), "No key"),
        (lambda: token(header={"alg": None}), "No key"),
        (lambda: token(header={"crit": ["exp"]}), "not valid"),
        (lambda: token(header={"crit": ["b64"], "b64": False}), "not valid"),
        (lambda: token(header={"kid": 5}), "not valid"),
        (lambda: token(exp="soon"), "not valid"),
        (lambda: token(exp=[1]), ""),
        (lambda: signed(b'{"alg":"HS256"}', b'{"sub":"ana","exp":1e999}'), ""),
        (lambda: signed(b'{"alg":"HS256"}', b'{"sub":"ana","exp":NaN}'), ""),
        (lambda: signed(b'{"alg":"HS256"}', b'{"sub":"ana","exp":' + b"9" * 5000 + b"}"), ""),
        (lambda: signed(b'{"alg":"HS256"}', b"[" * 5000), ""),
        (lambda: signed(b'{"alg":"HS256"}', b"[]"), ""),
        (lambda: signed(b"[" * 5000, b"{}"), ""),
        (lambda: signed(b"[]", b"{}"), ""),
        (lambda: signed(b"\xff", b"\xff"), ""),
        (lambda: "a.b.c", ""),
        (lambda: "..", ""),
        (lambda: token(pad="x" * MAX_TOKEN_CHARS), f"longer than {MAX_TOKEN_CHARS}"),
    ],
)
def test_every_other_token_is_refused_in_one_sentence(sent: Callable[[], str], reason: str) -> None:
    assert reason in why(by_secret(), sent())


def test_the_longest_token_reaches_us_in_a_header() -> None:
    from gunicorn.config import Config

    line = f"Authorization: Bearer {'x' * MAX_TOKEN_CHARS}\r\n"
    assert len(line) <= Config().limit_request_field_size


def test_clocks_may_differ_a_little() -> None:
    now = int(time.time())
    assert by_secret().external_id(token(exp=now - LEEWAY_S + 10, nbf=now + 10)) == "ana@product"


def test_audience_and_issuer_count_where_they_are_set() -> None:
    them = by_secret(jwt_audience="mirada", jwt_issuer="https://product.example")
    good = {"aud": ["app", "mirada"], "iss": "https://product.example"}
    assert them.external_id(token(**good)) == "ana@product"
    assert "no 'aud'" in why(them, token(iss=good["iss"]))
    assert "another audience" in why(them, token(**good | {"aud": "app"}))
    assert "no 'iss'" in why(them, token(aud="mirada"))
    assert "another issuer" in why(them, token(**good | {"iss": "https://evil.example"}))


@pytest.mark.parametrize(
    ("kind", "algorithm", "others"),
    [
        ("RSA", "RS256", ["RS384", "PS256"]),
        ("P-256", "ES256", []),
        ("P-384", "ES384", []),
        ("Ed25519", "EdDSA", []),
    ],
)
def test_a_public_key_verifies_what_it_signed_by_one_algorithm(
    tmp_path: Path, kind: str, algorithm: str, others: list[str]
) -> None:
    them = tokens(jwks_file=written(tmp_path / "jwks.json", jwk(kind)))
    assert them.external_id(made(kind, algorithm)) == "ana"
    for other in others:
        assert "No key" in why(them, made(kind, other))
    named = tokens(jwks_file=written(tmp_path / "jwks.json", jwk(kind, alg=algorithm, kid="k1")))
    assert named.external_id(made(kind, algorithm, kid="k1")) == "ana"
    assert named.external_id(made(kind, algorithm)) == "ana"
    assert "No key" in why(named, made(kind, algorithm, kid="k2"))


def test_a_public_key_is_no_secret_for_hs256(tmp_path: Path) -> None:
    """The classical confusion: a token signed with the text of the public key as an HMAC secret."""
    public = private_key("RSA").public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    path = written(tmp_path / "jwks.json", jwk("RSA", kid="k1"))
    for secret in (pem, pem.strip(), json.dumps(jwk("RSA"))):
        for header in ({}, {"kid": "k1"}, {"alg": "RS256", "kid": "k1"}):
            forged = token(secret=secret, header=header)
            assert why(tokens(jwks_file=path), forged)
            assert why(tokens(jwks_file=path, jwt_secret=SECRET), forged)


def test_a_key_inside_the_token_is_not_looked_at(tmp_path: Path) -> None:
    path = written(tmp_path / "jwks.json", jwk("P-256", kid="k1"))
    inside = {"jwk": jwk("P-384"), "jku": "https://evil.example/jwks.json", "kid": "k1"}
    assert why(tokens(jwks_file=path), made("P-384", "ES384", **inside))


def test_several_keys_are_told_apart_by_their_names(tmp_path: Path) -> None:
    keys = [jwk("RSA", kid="old"), jwk("P-256", kid="new"), jwk("RSA", kid="enc", use="enc")]
    them = tokens(jwks_file=written(tmp_path / "jwks.json", *keys), jwt_secret=SECRET)
    assert them.external_id(made("RSA", "RS256", kid="old")) == "ana"
    assert them.external_id(made("P-256", "ES256", kid="new")) == "ana"
    assert them.external_id(token()) == "ana@product"
    assert "No key" in why(them, made("RSA", "RS256", kid="new"))
    assert "No key" in why(them, made("RSA", "RS256", kid="enc"))


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (lambda: [], "expected 1 to 50"),
        (lambda: [jwk("RSA", use="enc")], "expected 1 to 50"),
        (lambda: [jwk("RSA", kid=str(number)) for number in range(51)], "expected 1 to 50"),
        (lambda: [jwk("RSA"), jwk("P-256", kid="a")], "'kid' of its own"),
        (lambda: [jwk("RSA", kid="a"), jwk("P-256", kid="a")], "'kid' of its own"),
        (lambda: [jwk("RSA", is_secret=True)], "is secret"),
        (lambda: [{"kty": "oct", "k": encoded(b"x" * 40)}], "is secret"),
        (lambda: [jwk("short RSA")], "1024 bits"),
        (lambda: [jwk("RSA", alg="HS256")], "names the algorithm 'HS256'"),
        (lambda: [jwk("RSA", alg="none")], "names the algorithm 'none'"),
        (lambda: [jwk("P-256", alg="ES384")], "names the algorithm"),
        (lambda: [{"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}], "unknown kind"),
        (lambda: [{"kty": "RSA", "n": "AA"}], "cannot be read"),
        (lambda: [{"kty": "EC", "crv": "P-256", "x": 5, "y": "AA"}], "cannot be read"),
        (lambda: [jwk("RSA", kid=5)], "no text"),
        (lambda: [5], "no JWK Set"),
    ],
)
def test_a_key_set_that_cannot_be_used_is_told_at_the_start(
    tmp_path: Path, keys: Callable[[], list[Any]], reason: str
) -> None:
    path = written(tmp_path / "jwks.json", *keys())
    with pytest.raises(InvalidSettings, match="JWKS_FILE") as caught:
        Settings.from_env(jwks_file=path, port=0)
    assert reason in str(caught.value)
    assert "PORT" in str(caught.value)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"keys": 5}', "[" * 100_000, "x" * 70_000, "\xff"]
)
def test_what_is_no_key_set_is_told_at_the_start(tmp_path: Path, content: str) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(InvalidSettings, match=r"JWKS_FILE: .*jwks\.json"):
        Settings.from_env(jwks_file=path)


def test_absent_files_and_short_secrets_are_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"JWKS_FILE: .* cannot be read"):
        Settings.from_env(jwks_file=tmp_path / "none.json")
    with pytest.raises(InvalidSettings, match="JWT_SECRET: expected 32 characters") as caught:
        Settings.from_env(jwt_secret="hunter2")
    assert "hunter2" not in str(caught.value)
