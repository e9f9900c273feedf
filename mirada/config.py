"""All settings in one frozen object, hence the length; only this module reads the environment."""

from __future__ import annotations

import ipaddress
import json
import logging
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import URL

from mirada.database_url import check_host, parse_database_url
from mirada.env_file import lines_at_fault
from mirada.jwks import read_key_set
from mirada.kernel.captions import CaptionLanguage
from mirada.kernel.drawing import checked_size
from mirada.kernel.errors import MiradaError
from mirada.kernel.nsfw import NsfwPolicy
from mirada.kernel.prices import Budgets, PriceTable, micros_of, parse_prices
from mirada.kernel.reach import Named

PROJECT_ROOT = Path(__file__).resolve().parent.parent
FIRST_SEGMENTS = frozenset(
    {
        "api",
        "assets",
        "classify",
        "docs",
        "embed-image",
        "feedback",
        "health",
        "i",
        "labels",
        "livez",
        "metrics",
        "openapi.json",
        "readyz",
        "redoc",
        "search-similar-images",
        "static",
        "ui",
    }
)
"""Beginnings of the paths of our routes: below another path that begins so, the two were confused."""
SETTINGS_EXIT_CODE = 4
"""Exit code of every program whose settings cannot be used. Gunicorn stops at this one (APP_LOAD_ERROR),
and starts a process again after any other."""
LEAST_SECRET_CHARS = 32
"""Characters of a secret that nobody guesses; `openssl rand -hex 32` gives 64."""
BUNDLED_MODEL_DIR = PROJECT_ROOT / "models" / "stickers"


NOT_BUILT = {
    "RATE_LIMITS": "Requests are not counted here yet; a proxy can limit them.",
    "ENCODER_URL": "Each process still loads its own encoder; another deployment cannot be asked.",
    "MILVUS_URI": "No Milvus is needed or asked; FAISS and the database do that work.",
}
"""Settings that are planned and do nothing, and why. Whoever counts on one is told at start."""


class AuthMode(StrEnum):
    """The need for an API key: none for anybody (open), or one for every call (keys)."""

    OPEN = "open"
    KEYS = "keys"


class OpenAs(StrEnum):
    """The role of a call without a key under AUTH_MODE=open."""

    USER = "user"
    ADMINISTRATOR = "administrator"


class VectorBackend(StrEnum):
    """The searcher of vectors: FAISS in each process, pgvector in PostgreSQL, or a plain comparison of all.

    AUTO is pgvector where the database is PostgreSQL and has it, and FAISS elsewhere.
    """

    AUTO = "auto"
    FAISS = "faiss"
    PGVECTOR = "pgvector"
    EXACT = "exact"


class InvalidSettings(MiradaError):
    """One or more settings cannot be used; the message names every one of them."""


class Settings(BaseSettings):
    """The operator's settings, from the environment or a `.env` file.

    Environment variables are the field names in capitals. The file is `.env` in PROJECT_ROOT, or the
    one that the variable `MIRADA_ENV_FILE` names. Paths are relative to PROJECT_ROOT, so that server
    and commands mean the same folder wherever they are called.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_file_encoding="utf-8",
        case_sensitive=False,
        env_ignore_empty=True,
    )

    # Where things are kept.
    data_dir: Path = Field(
        PROJECT_ROOT / "data",
        description="Folder for pictures and, by default, the SQLite database.",
    )
    database_url: SecretStr | None = Field(
        None,
        description="URL (mysql://, postgresql+psycopg:// or sqlite:///). "
        "Unset: DB_HOST and its companions, else SQLite in DATA_DIR.",
    )
    db_port: int = Field(3306, ge=1, le=65535, description="MySQL or MariaDB port.")
    db_user: str | None = Field(None, description="MySQL or MariaDB user.")
    db_password: SecretStr | None = Field(None, description="MySQL or MariaDB password.")
    db_name: str | None = Field(None, description="MySQL or MariaDB database.")
    # Behind its companions, because its check looks at them.
    db_host: str | None = Field(
        None,
        validate_default=True,
        description="MySQL or MariaDB host, when DATABASE_URL is unset.",
    )
    db_pool_size: int = Field(16, ge=1, le=256, description="Connections kept open per process.")
    redis_url: SecretStr | None = Field(
        None, description="Redis for the job queue. Unset: jobs run in the web process."
    )
    storage_url: str | None = Field(
        None, description="Where originals are stored, file:///path. Unset: DATA_DIR/images."
    )
    faiss_index_dir: Path = Field(
        PROJECT_ROOT / "faiss_indexes",
        description="Folder for index snapshots. A cache: it may be emptied at any time.",
    )

    # Serving.
    host: str = Field("127.0.0.1", description="Address the web server listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port the web server listens on.")
    script_name: str | None = Field(
        None,
        description="Path below which a proxy serves Mirada, such as /mirada, whether or not the proxy "
        "takes it off. Unset: the root.",
    )
    web_processes: int = Field(
        1, ge=1, le=64, description="Gunicorn worker processes. 1 without REDIS_URL."
    )
    web_threads: int = Field(8, ge=1, le=256, description="Threads per web process.")
    worker_threads: int = Field(
        8,
        ge=1,
        le=64,
        description="Jobs a worker process runs at once; they share encoder batches.",
    )
    worker_metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port on which a worker process serves its metrics. Unset: it serves none. Every worker "
        "process of a machine needs one of its own.",
    )
    worker_metrics_host: str = Field(
        "127.0.0.1",
        description="Address it listens on. No key is asked for there; the numbers name nobody.",
    )
    secret_key: SecretStr | None = Field(
        None,
        description="Signs browser sessions and addresses of private pictures, 32 characters or more. "
        "Unset: a secret that the first start writes into DATA_DIR/secret_key. A change ends them all.",
    )
    jwt_secret: SecretStr | None = Field(
        None,
        description="Verifies the HS256 tokens (JWT) of a product whose people call with them, 32 "
        "characters or more.",
    )
    jwks_file: Path | None = Field(
        None,
        description="JWK Set with the public keys of such tokens: RSA, EC or Ed25519.",
    )
    jwt_audience: str | None = Field(
        None,
        description="What the aud of a token has to name. Unset: a token that names an audience is refused.",
    )
    jwt_issuer: str | None = Field(
        None, description="What the iss of a token has to be. Unset: anything."
    )
    auth_mode: AuthMode | None = Field(
        None,
        validate_default=True,
        description="open: calls without a key act as the local user; keys: they may only read "
        "public images. Unset: open on SQLite, keys elsewhere.",
    )
    open_as: OpenAs | None = Field(
        None,
        description="What a call without a key is under AUTH_MODE=open. Unset: administrator where HOST "
        "is this machine's own address, user elsewhere.",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        ("http://localhost:3000",),
        description="Origins whose pages may call this server (CORS), comma-separated; * for any, none "
        "for no other than its own.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", description="Least severe log records that are written."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto",
        description="auto: for people on a terminal and in a pipe of what was typed there, else JSON lines.",
    )
    max_upload_mb: int = Field(50, ge=1, le=1024, description="Largest upload, in MiB.")
    quota_images: int | None = Field(
        None,
        ge=1,
        description="Most images that one user keeps, those in the trash too. Unset: no limit. An "
        "administrator may give a user another.",
    )
    quota_bytes: int | None = Field(
        None,
        ge=1,
        description="Most bytes of originals that one user keeps, those in the trash too. Unset: no limit.",
    )
    fetch_urls: bool = Field(
        False,
        description="Pictures may be sent as their addresses, which a worker fetches. Addresses of inner "
        "networks are refused.",
    )
    fetch_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Hosts, addresses and networks that are fetched from although they are not public, "
        "by any port, comma-separated.",
    )
    fetch_ports: Annotated[tuple[int, ...], NoDecode] = Field(
        (80, 443), description="Ports of public servers that are fetched from, comma-separated."
    )
    fetch_waiting: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="Addresses of any one user that may wait to be fetched.",
    )
    webhook_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Hosts, addresses and networks that webhooks may call although they are not public, "
        "by any port, comma-separated.",
    )
    trash_days: int = Field(
        30,
        ge=0,
        le=3650,
        description="Days for which deleted images can be restored. 0: they are gone at once.",
    )
    audit_days: int = Field(
        365,
        ge=1,
        le=3650,
        description="Days for which it is kept what administrators and keys did.",
    )
    import_dir: Path | None = Field(
        None,
        description="Folder of pictures imported at start, each file once; public with the prompts in them, "
        "owned by the user local.",
    )

    # Encoders.
    embeddings_enabled: bool = Field(
        True, description="false: uploads are stored and nothing is embedded."
    )
    embeddings_device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Where the encoder computes."
    )
    encoder_engine: Literal["auto", "onnx", "torch"] = Field(
        "auto",
        description="What computes the encoder's vectors. auto: ONNX Runtime on a CPU where the model has "
        "ONNX graphs, else PyTorch. The vectors are the same.",
    )
    embeddings_cache_dir: Path | None = Field(
        None, description="Where downloaded weights are kept. Unset: the hub client's own cache."
    )
    clip_model: str = Field(
        "auto",
        description="OpenCLIP model name, a path to a model folder, 'bundled', or 'auto': the "
        "production model if it can be had, else the bundled one.",
    )
    clip_pretrained: str | None = Field(None, description="Weights tag that goes with CLIP_MODEL.")
    text_model: str | None = Field(
        None,
        description="Sentence-transformers model that embeds prompts: a name on the hub, such as "
        "all-MiniLM-L6-v2, or a folder. Unset: the encoder's text tower.",
    )
    enable_embedding_cache: bool = Field(
        True,
        description="Remember the embeddings of popular text queries, in memory, per process.",
    )

    # Search.
    similarity_threshold: float | None = Field(
        None,
        ge=-1,
        le=1,
        description="Least cosine similarity of a result. Unset: 0.2 for search, 0.85 in /classify.",
    )
    similarity_limit: int = Field(25, ge=1, le=1000, description="Most similar images in a reply.")
    similarity_scan_limit: int | None = Field(
        None,
        description="Accepted for older configurations, and no limit any more: every image is searched.",
    )
    vector_backend: VectorBackend = Field(
        VectorBackend.AUTO,
        description="What searches vectors. auto: pgvector where the database is PostgreSQL and has it, else "
        "FAISS; exact: every vector is compared, in memory, for small collections.",
    )
    index_recall_target: float = Field(
        0.98, gt=0, le=1, description="Recall@10 an index build must reach against exact search."
    )
    index_graph: bool = Field(
        True,
        description="Index builds make a graph (HNSW) from 20,000 vectors on, after a quantised form. "
        "Without one a rebuild takes seconds; searches that see everything are slower.",
    )
    recall_sample: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of searches that a worker repeats exactly, to measure recall while serving. "
        "0: none.",
    )

    # Classifier.
    clip_top_k: int = Field(5, ge=1, le=1000, description="Labels in a classification reply.")
    enable_clustering: bool = Field(True, description="Similar images in classification replies.")
    enable_adaptive_scoring: bool = Field(True, description="Feedback moves scores.")
    enable_llm_label_expansion: bool = Field(
        True, description="Expand labels with the language model."
    )
    adaptive_alpha: float = Field(0.4, ge=0, le=1, description="Weight of feedback in scores.")
    entropy_threshold: float = Field(
        2.5, ge=0, description="Bits above which a label is ambiguous."
    )
    nsfw_threshold: float = Field(0.5, ge=0, le=1, description="NSFW score that sets is_nsfw.")
    nsfw_policy: NsfwPolicy = Field(
        NsfwPolicy.FLAG,
        description="off: nothing is judged; flag: classifications say how unsafe a picture is; "
        "hide: searches and similar images also leave out what reaches NSFW_THRESHOLD, except its owner's. "
        "Lists and addresses still show it, and no upload is ever refused for it.",
    )
    label_descriptions: bool = Field(
        False,
        description="What labels are described by joins their prompts, where a request does not say.",
    )

    # Language model.
    openai_api_key: SecretStr | None = Field(
        None, description="Unset: no language model is called."
    )
    openai_base_url: str | None = Field(
        None,
        description="An OpenAI-compatible server (Ollama, vLLM), up to its /v1. It needs a key as "
        "well: any text, where the server asks for none.",
    )
    llm_label_expansion_model: str = Field(
        "gpt-6-luna",
        min_length=1,
        max_length=100,
        description="Model that expands labels. It must be able to answer by a JSON schema.",
    )
    llm_label_expansion_timeout_ms: int = Field(
        6000, ge=1, description="Time-out of one expansion, in ms."
    )
    llm_label_expansion_wait_ms: int = Field(
        1500, ge=0, description="How long /classify waits for an expansion, in ms."
    )
    captions_enabled: bool = Field(
        True,
        description="Have the language model describe pictures, and caption those that nobody did, where "
        "there is a key. A small copy of the picture, without metadata, is sent to its server.",
    )
    caption_model: str = Field(
        "gpt-6-luna",
        min_length=1,
        max_length=100,
        description="Model that describes pictures. It must see pictures (WebP) and answer by a JSON schema.",
    )
    caption_language: CaptionLanguage = Field(
        CaptionLanguage.EN, description="Language of what it writes."
    )
    caption_timeout_ms: int = Field(
        20_000, ge=1, description="Time-out of one description, or of a vector, in ms."
    )
    text_embedding_model: str = Field(
        "text-embedding-3-small",
        min_length=1,
        max_length=100,
        description="Model that embeds captions and descriptions where there is a key; local: what embeds "
        "prompts. The first one decides; bin/mirada captions switch-model changes it.",
    )
    generation_enabled: bool = Field(
        True,
        description="Pictures may be made from words (POST /api/v1/images/generate), where there is a key.",
    )
    generation_model: str = Field(
        "gpt-image-2", min_length=1, max_length=100, description="Model that makes pictures."
    )
    generation_size: str = Field(
        "1024x1024",
        description="Size of a picture, where a request does not say.",
    )
    generation_timeout_ms: int = Field(
        180_000, ge=1, description="Time-out of one picture, in ms; most take 10 s to two minutes."
    )
    llm_daily_budget_usd: float | None = Field(
        None,
        ge=0,
        lt=1_000_000_000,
        description="What language models may cost in a UTC day, in US dollars; work that would cost "
        "more waits for the next day. Unset: no limit.",
    )
    llm_user_daily_budget_usd: float | None = Field(
        None,
        ge=0,
        lt=1_000_000_000,
        description="What they may cost in a UTC day for any one user. Unset: no limit.",
    )
    llm_prices_usd: Annotated[dict[str, Any] | None, NoDecode] = Field(
        None,
        description='Prices by model: {"gpt-6-luna": [0.1, 0.5]}, dollars per million '
        'tokens in and out, or {"some-model": {"per_image": 0.04}}. Added to the built-in ones, or '
        "instead of them. With a budget, a model without a price is not called.",
    )

    @field_validator("data_dir", "faiss_index_dir", "embeddings_cache_dir", "import_dir")
    @classmethod
    def _below_the_project(cls, value: Path | None) -> Path | None:
        return value if value is None else PROJECT_ROOT / value

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: Any) -> Any:
        named = value.split(",") if isinstance(value, str) else value
        if not isinstance(named, list | tuple):
            return value
        origins = tuple(origin.strip() for origin in named if origin.strip())
        if [origin.lower() for origin in origins] == ["none"]:
            return ()
        return tuple(_origin(origin) for origin in origins)

    @field_validator("fetch_hosts", "webhook_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: Any) -> Any:
        named = _listed(value)
        Named.read(named)
        return named

    @field_validator("fetch_ports", mode="before")
    @classmethod
    def _split_ports(cls, value: Any) -> Any:
        ports = _listed(value)
        if not ports or not all(each.isdecimal() and 1 <= int(each[:6]) <= 65535 for each in ports):
            raise ValueError("expected ports such as 80, 443, each from 1 to 65535")
        return tuple(map(int, ports))

    @field_validator("llm_prices_usd", mode="before")
    @classmethod
    def _known_prices(cls, value: Any) -> Any:
        if value is None:
            return None
        try:
            found = json.loads(value) if isinstance(value, str) else value
        except (ValueError, RecursionError):
            found = None
        parse_prices(found)
        return found

    @field_validator("generation_size")
    @classmethod
    def _size_of_a_picture(cls, value: str) -> str:
        try:
            return checked_size(value)
        except MiradaError as error:
            raise ValueError(error.detail) from error

    @field_validator("vector_backend")
    @classmethod
    def _where_pgvector_is(cls, value: VectorBackend, info: ValidationInfo) -> VectorBackend:
        if value is not VectorBackend.PGVECTOR or "database_url" not in info.data:
            return value
        url: SecretStr | None = info.data["database_url"]
        if url is None or not url.get_secret_value().startswith("postgres"):
            raise ValueError(
                "pgvector needs a DATABASE_URL of PostgreSQL; auto chooses what is there"
            )
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _capitalise(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("auth_mode")
    @classmethod
    def _not_open_by_default_to_a_network(
        cls, value: AuthMode | None, info: ValidationInfo
    ) -> AuthMode | None:
        # A field at fault is not in `info.data`: it is told by itself.
        chosen = info.data
        if value is not None or not {"host", "database_url", "db_host"} <= chosen.keys():
            return value
        url: SecretStr | None = chosen["database_url"]
        if url is None:
            is_embedded = chosen["db_host"] is None
        else:
            is_embedded = parse_database_url(url.get_secret_value()).get_backend_name() == "sqlite"
        if is_embedded and not _is_loopback(chosen["host"]):
            raise ValueError(
                f"HOST={chosen['host']} would let everybody on the network act as the local user. Set "
                "AUTH_MODE=keys (and create a user), or AUTH_MODE=open if that network is private."
            )
        return value

    @field_validator("script_name")
    @classmethod
    def _path_that_is_not_ours(cls, value: str | None) -> str | None:
        plain = (value or "").rstrip("/")
        if not plain:
            return None
        if not re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)+", plain):
            raise ValueError("expected a path such as /mirada")
        if plain.split("/")[1] in FIRST_SEGMENTS:
            raise ValueError(
                f"{plain} begins a path of Mirada's own; choose another, such as /mirada"
            )
        return plain

    @field_validator("import_dir")
    @classmethod
    def _existing_folder(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_dir():
            raise ValueError(f"there is no folder {value}")
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        parse_database_url(value.get_secret_value())
        return value

    @field_validator("db_host")
    @classmethod
    def _complete_database(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            check_host(value)
        # A field at fault is not in `info.data`: it is told by itself.
        if info.data.get("database_url", "") is not None:
            return value
        given = [
            name
            for name in ("db_user", "db_password", "db_name")
            if info.data.get(name, "") is not None
        ]
        missing = [name.upper() for name in ("db_user", "db_name") if name not in given]
        if value is not None and missing:
            raise ValueError(f"it needs {' and '.join(missing)} as well")
        if value is None and given:
            # A mistyped DB_HOST would otherwise serve an empty SQLite database to everybody.
            names = " and ".join(name.upper() for name in given)
            raise ValueError(
                f"it is not set, and neither is DATABASE_URL, so nothing says where the database of {names} "
                f"is; set one of the two, or remove {names}"
            )
        return value

    @field_validator("redis_url")
    @classmethod
    def _known_queue(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("expected redis://host:6379/0")
        return value

    @field_validator("storage_url")
    @classmethod
    def _known_storage(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("file:///"):
            raise ValueError(
                "expected file:///absolute/path; other storage, such as s3://, is not built yet"
            )
        return value

    @field_validator("jwks_file")
    @classmethod
    def _known_key_set(cls, value: Path | None) -> Path | None:
        if value is not None:
            read_key_set(value)
        return value

    @field_validator("secret_key", "jwt_secret")
    @classmethod
    def _secret_that_nobody_guesses(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < LEAST_SECRET_CHARS:
            raise ValueError(
                f"expected {LEAST_SECRET_CHARS} characters or more; `openssl rand -hex 32` makes a "
                "good one"
            )
        return value

    @field_validator("openai_api_key")
    @classmethod
    def _key_that_fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        # A key pasted with its line end would fail, and be quoted, deep inside the HTTP client.
        key = value.get_secret_value().strip()
        if not re.fullmatch(r"[!-~]+", key):
            raise ValueError("expected one word of ASCII characters")
        return SecretStr(key)

    @field_validator("openai_base_url")
    @classmethod
    def _known_web_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("expected http:// or https://")
        return value

    @classmethod
    def from_env(cls, **overrides: Any) -> Settings:
        """Read the environment and the `.env` file.

        Args:
            **overrides: field values in place of the environment's; for tests and commands.

        Raises:
            InvalidSettings: settings are wrong; the message names each of them on a line.
        """
        env_file, lines = _EnvFile.to_read()
        # The lines are told below, once; the reader warns of them each time, and goes on.
        logging.getLogger("dotenv").setLevel(logging.ERROR)
        found = _NotBuilt(_env_file=env_file)
        refused = [
            f"  {env_file}, line {line}: expected NAME=value, such as PORT=8000, or a comment behind #"
            for line in lines
        ]
        refused += [
            f"  {name}: {reason} Remove it."
            for name, reason in NOT_BUILT.items()
            if getattr(found, name.lower()) is not None
        ]
        try:
            settings = cls(_env_file=env_file, **overrides)
        except ValidationError as error:
            raise InvalidSettings(_report([*_faults(error), *refused])) from error
        if refused:
            raise InvalidSettings(_report(refused))
        return settings

    @property
    def remarks(self) -> list[str]:
        """Sentences for the log about settings that do not do what their names say."""
        if self.similarity_scan_limit is None:
            return []
        return [
            f"SIMILARITY_SCAN_LIMIT={self.similarity_scan_limit} limits nothing any more: every image is "
            "searched, by an index. The setting can go."
        ]

    @property
    def url(self) -> URL:
        """The URL of the database, from DATABASE_URL, else DB_HOST and its companions, else SQLite."""
        if self.database_url is not None:
            return parse_database_url(self.database_url.get_secret_value())
        if self.db_host is not None:
            return URL.create(
                "mysql+pymysql",
                username=self.db_user,
                password=self.db_password.get_secret_value() if self.db_password else None,
                host=self.db_host,
                port=self.db_port,
                database=self.db_name,
            )
        return URL.create("sqlite", database=str(self.data_dir / "mirada.db"))

    @property
    def prices(self) -> PriceTable:
        """The prices of models: the built-in ones, replaced by the operator's own."""
        return PriceTable(parse_prices(self.llm_prices_usd or {}))

    @property
    def budgets(self) -> Budgets:
        """The limits of a day's spending on language models, with the prices."""
        daily, user_daily = self.llm_daily_budget_usd, self.llm_user_daily_budget_usd
        return Budgets(micros_of(daily), micros_of(user_daily), self.prices)

    @property
    def is_embedded(self) -> bool:
        """Whether the database is the SQLite file that comes with the product."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def effective_auth_mode(self) -> AuthMode:
        """The mode in use: AUTH_MODE, else open on the embedded database and keys on others."""
        if self.auth_mode is not None:
            return self.auth_mode
        return AuthMode.OPEN if self.is_embedded else AuthMode.KEYS

    @property
    def effective_open_as(self) -> OpenAs:
        """The role of an open caller: OPEN_AS, else an administrator on this machine alone."""
        if self.open_as is not None:
            return self.open_as
        return OpenAs.ADMINISTRATOR if _is_loopback(self.host) else OpenAs.USER

    @property
    def is_open_to_a_network(self) -> bool:
        """Whether somebody on another machine may act as the local user, without a key."""
        return self.effective_auth_mode is AuthMode.OPEN and not _is_loopback(self.host)

    @property
    def address(self) -> str:
        """The address that a person on this machine can open, such as http://127.0.0.1:8000/mirada."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        name = f"[{host}]" if ":" in host else host
        return f"http://{name}:{self.port}{self.script_name or ''}"

    def prefixed(self, line: str) -> str:
        """Return a shell line with the port before it where that is not the default."""
        default = type(self).model_fields["port"].default
        return line if self.port == default else f"PORT={self.port} {line}"

    @property
    def image_dir(self) -> Path:
        """Folder of the originals."""
        if self.storage_url is not None:
            return Path(self.storage_url.removeprefix("file://"))
        return self.data_dir / "images"

    @property
    def copies_dir(self) -> Path:
        """Folder of the copies of originals, such as thumbnails."""
        return self.data_dir / "derivatives"

    @property
    def handed_dir(self) -> Path:
        """Folder of decoded pictures on their way to a worker."""
        return self.data_dir / "handed"

    @property
    def exports_dir(self) -> Path:
        """Folder of exports that wait to be fetched."""
        return self.data_dir / "exports"

    @property
    def secret_file(self) -> Path:
        """The file that holds the secret where SECRET_KEY is unset."""
        return self.data_dir / "secret_key"

    @property
    def max_upload_bytes(self) -> int:
        """Largest upload in bytes."""
        return self.max_upload_mb * 1024 * 1024


_NotBuilt = create_model(  # type: ignore[call-overload]
    "_NotBuilt",
    __base__=type("_Read", (BaseSettings,), {"model_config": Settings.model_config}),
    **{name.lower(): (str | None, None) for name in NOT_BUILT},
)
"""Reads the settings that are not built from where the others are read."""


class _EnvFile(BaseSettings):
    """The setting that names the `.env` file."""

    @classmethod
    def to_read(cls) -> tuple[Path, list[int]]:
        """Return the file, and the numbers of its lines that set nothing.

        Raises:
            InvalidSettings: it cannot be read, or somebody named it and it is not there.
        """
        named = cls()
        file, is_named = named.mirada_env_file, bool(named.model_fields_set)
        lines: list[int] = []
        try:
            # Whoever names a file that is not there would work on the defaults' database.
            if is_named or file.exists():
                lines = lines_at_fault(file.read_text("utf-8"))
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            name = "MIRADA_ENV_FILE" if is_named else ".env"
            raise InvalidSettings(
                _report([f"  {name}: {file} cannot be read: {reason}"])
            ) from error
        return file, lines

    mirada_env_file: Path = Field(
        PROJECT_ROOT / ".env", validation_alias=AliasChoices("MIRADA_ENV_FILE")
    )


def _origin(written: str) -> str:
    """Return an origin as browsers write it. Raises ValueError for what no browser sends."""
    if written == "*":
        return written
    parts = urlsplit(written.lower())
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    is_origin = host is not None and parts.netloc == parts.netloc.rpartition("@")[2]
    if not is_origin or "*" in written or (parts.path.strip("/"), parts.query) != ("", ""):
        raise ValueError(
            f"'{written}' is no origin; expected a scheme, a host and perhaps a port, such as "
            "https://gallery.example or http://localhost:3000"
        )
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    netloc = parts.netloc.removesuffix(f":{usual}") if port == usual else parts.netloc
    return f"{parts.scheme}://{netloc}"


def _listed(value: Any) -> tuple[str, ...]:
    """Return the values of a setting that names several, written with commas between them."""
    named = value.split(",") if isinstance(value, str) else value
    return tuple(str(each).strip() for each in named if str(each).strip())


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # A host name may resolve to any address.
        return False


def _faults(error: ValidationError) -> list[str]:
    return [
        f"  {str(fault['loc'][0]).upper()}: " + fault["msg"].removeprefix("Value error, ")
        for fault in error.errors(include_url=False)
    ]


def _report(faults: list[str]) -> str:
    return "\n".join(
        [
            "The settings cannot be used:",
            *faults,
            "See docs/configuration.md for what each setting takes.",
        ]
    )
