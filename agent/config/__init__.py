"""Every setting, explained where it is defined, and checked at start.

Order, strongest first: keyword arguments, `DIRIGENT_*` environment (`__` between levels: `DIRIGENT_LIMITS__STEPS=200`),
`OPENAI_API_KEY` and `OPENAI_BASE_URL`, secrets from files (`DIRIGENT_TELEGRAM_TOKEN_FILE=/run/secrets/token`),
`dirigent.toml` in `DIRIGENT_HOME` (`telegram_token_file = "…"` works there too), the files in `secrets/` of the home
(`telegram_token`, `openai_api_key`; any other name is a secret for tools), defaults.

`AppConfig(…)` itself takes only what it is given; `load_config` is what looks at the environment and at files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from agent.config.explain import explain
from agent.config.mcp import McpServer, Name
from agent.config.sessions import Sessions
from agent.config.sources import LEVELS, PREFIX, sources_of
from agent.config.tracing import Tracing
from agent.config.workers import Workers
from agent.errors import ConfigError

MAX_REPLANS = 25


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


Url = Annotated[str, Field(pattern=r"^https?://[^\s/]+")]
Level = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Limits(_Section):
    """Bounds of a run. Every one ends in a message that names the setting."""

    steps: Annotated[int, Field(ge=1, le=100_000)] = 500
    """Steps of one run, over all its plans."""
    replans: Annotated[int, Field(ge=0, le=MAX_REPLANS)] = 5
    """New plans after failures or surprises; questions have a limit of their own."""
    questions: Annotated[int, Field(ge=0, le=100)] = 10
    """Questions that one run may ask."""
    approval_seconds: Annotated[float, Field(gt=0, le=31_622_400)] = 86_400.0
    """Seconds after which nobody has approved what was asked, which is a denial; a checkpoint may say its own."""
    tokens: Annotated[int, Field(ge=0)] = 500_000
    """Tokens (prompt and completion) that one run may use; 0 means no limit."""
    money: Annotated[float, Field(ge=0)] = 1.0
    """US dollars that one run may spend before it asks for more; 0 means no limit."""
    money_per_day: Annotated[float, Field(ge=0)] = 0.0
    """US dollars that all runs together may spend in one day (of this machine's clock); 0 means no limit."""
    money_per_month: Annotated[float, Field(ge=0)] = 0.0
    """US dollars that all runs together may spend in one calendar month; 0 means no limit."""
    money_per_user_day: Annotated[float, Field(ge=0)] = 0.0
    """US dollars that the runs of one person may spend in one day; 0 means no limit."""
    money_per_session: Annotated[float, Field(ge=0)] = 0.0
    """US dollars that all runs of one chat may ever spend; 0 means no limit."""
    warn_at: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Share of a budget at which the chat is told, once; 1 only when all of it is spent."""
    answer_tokens: Annotated[int, Field(ge=64)] = 16_000
    """Tokens that are set aside for one answer of the model; what it does not use is free again after it."""
    seconds: Annotated[float, Field(gt=0)] = 3600.0
    """Seconds of work in one run; waiting for a person does not count."""
    step_seconds: Annotated[float, Field(gt=0)] = 300.0
    """Seconds that a step may take unless it or its tool says otherwise."""
    task_rounds: Annotated[int, Field(ge=1, le=100)] = 12
    """Rounds of the tool-calling loop of one `task` step."""
    steps_per_run: Annotated[int, Field(ge=1)] = 8
    """Steps of one run that run at the same time."""
    steps_per_session: Annotated[int, Field(ge=1)] = 8
    """Steps of one session that run at the same time."""
    steps_total: Annotated[int, Field(ge=1)] = 32
    """Steps that run at the same time in this process."""
    runs_total: Annotated[int, Field(ge=1)] = 16
    """Runs that are worked on at the same time in this process."""
    runs_per_user: Annotated[int, Field(ge=1)] = 4
    """Runs of one person that are worked on at the same time."""
    keep_days: Annotated[float, Field(ge=0)] = 90.0
    """Days after which steps of ended runs, delivered messages and handled events are forgotten; 0 keeps them."""
    ageing_seconds: Annotated[float, Field(gt=0)] = 60.0
    """How long a run waits until it counts one priority higher, so that none waits for ever."""


class Model(_Section):
    """How the model is reached, beyond its name."""

    window: Annotated[int, Field(ge=0)] = 0
    """Context size in tokens; 0 asks the server or assumes 8,000 for local servers and 128,000 otherwise."""
    notation: Literal["compact", "json"] = "compact"
    """`compact` (one line a step, fastest) or `json`, for models that do not manage the lines."""
    first_token_seconds: Annotated[float, Field(gt=0)] = 120.0
    """How long the server may take to begin its answer."""
    stall_seconds: Annotated[float, Field(gt=0)] = 30.0
    """How long a stream may pause between two chunks."""
    tries: Annotated[int, Field(ge=1, le=10)] = 3
    """Attempts at a call when the server is busy or unreachable."""
    vision: Literal["auto", "on", "off"] = "auto"
    """Whether the model looks at pictures: `auto` (until its server refuses one), `on`, or `off`."""
    prices: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """Model → US dollars per million prompt and completion tokens; adds to and overrides the built-in list."""
    transcription_model: str = "auto"
    """The model that understands voice messages, `auto` (what the server offers for it), or `off`."""
    transcription_base_url: Url | None = None
    """Root of another OpenAI-compatible server for voice messages, such as `http://localhost:8000/v1`."""


class Consent(_Section):
    """What is asked before it is done."""

    mode: Literal["normal", "strict", "always"] = "normal"
    """`normal` asks before an effect, or before something is sent to a web site, unless your own words chose it and
    supplied what it is given; `strict` also asks when what others wrote only decides whether it happens (in runs that
    nobody watches, and for what pays, deletes or installs, that always holds); `always` asks before every effect."""
    links: Literal["ask", "follow"] = "ask"
    """Addresses that a page or a search names: `ask` before they are read, or `follow` them in a request that has read
    nothing private (your files, mail, memory). Then a page can have another one read, which learns what you wrote."""


class ToolSettings(_Section):
    """Your word on one tool, in place of its author's. What is left out stays as the author declared it."""

    effect: Literal["pure", "read", "write_inside", "effect"] | None = None
    """What it does to the world; `dirigent plugins --help` explains the words."""
    once: bool | None = None
    """Whether running it again after a crash could do the thing twice, so that you are asked first."""
    untrusted: bool | None = None
    """Whether its output carries what others wrote."""
    private: bool | None = None
    """Whether its output is your own affair, such as your mail."""
    strict: bool | None = None
    """Whether it pays, deletes or installs: then what others wrote may not even decide whether it is called."""
    egress: tuple[str, ...] | None = None
    """The arguments of a `read` that leave this machine."""


class Chat(_Section):
    """How a conversation goes, on every channel."""

    while_running: Literal["ask", "steer", "queue"] = "ask"
    """What becomes of a message that comes while a request is being worked on: `queue` (it comes next), `steer` (the
    plan is changed in its sense), or `ask` (it comes next, with a button to have it used at once). A reply to the plan
    always changes the plan."""
    undo_runs: Annotated[int, Field(ge=0, le=100)] = 10
    """How many requests of a chat can be undone with /undo, one after the other; 0 keeps no earlier files."""
    undo_mb: Annotated[int, Field(ge=1)] = 512
    """Megabytes that a chat's earlier files may take on disk; the oldest go first, and larger ones are not kept."""


class Telegram(_Section):
    """How the bot behaves in chats, beyond its token."""

    groups: Literal["mention", "commands", "all", "never"] = "mention"
    """In groups answer `mention` (mentioned, replied to, or commanded), `commands`, `all`, or `never`; an owner may
    choose for a group with /group."""
    reactions: bool = True
    """Look (👀) at a message that is safe and not answered at once, where the chat allows it."""
    voice_minutes: Annotated[float, Field(ge=0)] = 15.0
    """The longest voice message that is listened to; a longer one is kept as a file."""
    webhook_url: Annotated[str, Field(pattern=r"^https://[^\s/]+")] | None = None
    """Where Telegram can call, such as `https://bot.example.org/telegram`, instead of being polled."""
    poll_seconds: Annotated[int, Field(ge=0, le=50)] = 25
    """Long-poll time of one getUpdates call."""


class Sandbox(_Section):
    """What sandboxed work may use."""

    memory_mb: Annotated[int, Field(ge=64)] = 1024
    """Memory of one job."""
    disk_mb: Annotated[int, Field(ge=8)] = 1024
    """Disk that a session's workspace may grow to."""
    cpu_seconds: Annotated[int, Field(ge=1)] = 120
    """CPU seconds of one job."""
    idle_seconds: Annotated[float, Field(gt=0)] = 300.0
    """Idle time after which a session's warm workers are ended."""
    allow_hosts: tuple[str, ...] = ()
    """Hosts that every command and program may reach, as `host`, `host:port` or `*.host`; such as those of pip's
    package index. Whatever runs there can send them all that its session holds."""
    tool_hosts: tuple[str, ...] = ("*",)
    """Of the hosts that tools declare, those that they may reach."""
    private_hosts: tuple[str, ...] = ()
    """Hosts whose addresses need not be public: `nas.lan:8080`. They must be allowed as well."""
    traffic_mb: Annotated[int, Field(ge=1)] = 512
    """What one job may send and receive in all."""
    sidecar: Path | None = None
    """Socket of a sidecar (`python -m sandbox.sidecar --help`), in whose container everything then runs."""
    first_user: Annotated[int, Field(ge=1000, lt=1 << 31)] = 1_900_000_000
    """Where the agent is root each session runs as a user of its own; this is the number of the first."""
    users: Annotated[int, Field(ge=0, lt=1 << 31)] = 1 << 24
    """How many such users there are; 0: all sessions run as the agent's own user."""
    unsafe: bool = False
    """Run without walls where none are available. Only for machines that hold nothing of value."""


class Web(_Section):
    """The HTTP door of `dirigent serve`: webhooks, Telegram's webhook mode, `/health`, `/metrics`, API and pages."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on. Only this machine reaches the default; `0.0.0.0` is every address of the machine, for use
    behind a proxy that speaks HTTPS."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """Port to listen on; 0 listens on 8385 while there are webhooks, tokens or pages, and not at all
    without."""
    public_url: Url | None = None
    """Where the outside reaches it, such as `https://bot.example.org`; its name is accepted as a Host."""
    hosts: tuple[str, ...] = ()
    """Further names that callers may use for this server, such as a container's."""
    per_minute: Annotated[int, Field(ge=1, le=100_000)] = 120
    """Calls that one webhook takes in a minute; more are refused with 429, and a good sender comes again."""
    token: Annotated[SecretStr, Field(min_length=16)] | None = None
    """Opens the API (`/api/…`) to whoever sends `Authorization: Bearer TOKEN`; without it the API is off. At least 16
    characters, such as `openssl rand -hex 32` prints."""
    token_decides: bool = False
    """Counts whoever shows `web.token` as the owner: may approve calls and answer what only an owner may, and what they
    send is trusted like the owner's own words. Without it programs begin, watch and stop things; people decide."""
    read_token: Annotated[SecretStr, Field(min_length=16)] | None = None
    """Opens the API for reading alone: nothing is begun, changed or decided with it."""
    metrics_token: Annotated[SecretStr, Field(min_length=16)] | None = None
    """The same for `/metrics`, which without it only this machine may read."""
    pages: bool = False
    """Shows the owner's pages under `/admin` while `dirigent serve` runs; `dirigent web` prints a link that lets in."""
    password: Annotated[SecretStr, Field(min_length=10)] | None = None
    """Lets the owner into the pages, and switches them on. Needed where others than this machine reach the server."""
    mcp: bool = False
    """Lets other programs use Dirigent as a server of tools, at `/mcp`; they show `web.token` as a Bearer token."""


class Automation(_Section):
    """What runs by itself."""

    report_to: Annotated[str, Field(pattern=r"^(?:[a-z][a-z0-9-]*:[^\s:]+(?::[^\s:]+)?)?$")] = ""
    """The chat that gets what runs of pipelines' triggers have to say, such as `telegram:4711` or `terminal:main`;
    empty: the first owner's private chat, or the terminal where there is no bot."""


class AppConfig(BaseSettings):
    """The whole configuration. Unknown keys are refused, with the nearest known one named by `load_config`."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, env_prefix=PREFIX, env_nested_delimiter=LEVELS
    )

    home: Path = Path("~/.dirigent")
    """All data of an installation: dirigent.toml, the journal, sessions, plugins, logs. `DIRIGENT_HOME`."""
    store: SecretStr | None = None
    """Where the journal is kept when not in `journal.db` of the home: `postgresql://user:password@host/database`, which
    `dirigent migrate-store` fills from the file. `DIRIGENT_STORE`, or `DIRIGENT_STORE_FILE` for a file with it."""
    engine: Literal["local", "workers"] = "local"
    """Who carries requests out: the process itself (`local`), or any number of `dirigent worker`s (`workers`), on any
    number of machines, for which the journal is kept in PostgreSQL (`store`)."""
    telegram_token: SecretStr | None = None
    """The bot's token from @BotFather. `DIRIGENT_TELEGRAM_TOKEN`."""
    telegram_base_url: Url = "https://api.telegram.org"
    """Root of the Bot API server, for a self-hosted one. `DIRIGENT_TELEGRAM_BASE_URL`."""
    owners: tuple[int, ...] = ()
    """Telegram user ids whose words are trusted and who may approve. `DIRIGENT_OWNERS=4711,4712`."""
    model: str = "auto"
    """The model's name, `auto` (ask the server at `openai_base_url` or the usual local ones), or `offline`."""
    openai_api_key: SecretStr | None = None
    """The key of the model server, where it wants one. `OPENAI_API_KEY`."""
    openai_base_url: Url | None = None
    """Root of any OpenAI-compatible server, such as `http://localhost:11434/v1`. `OPENAI_BASE_URL`."""
    profile_plugins: tuple[str, ...] = ("*",)
    """Plugins that new sessions may use."""
    plugin_folders: tuple[Path, ...] = ()
    """Further folders with plugins; `plugins/` in the home is always one."""
    skill_folders: tuple[Path, ...] = ()
    """Further folders with skills, each a folder with a SKILL.md; `skills/` in the home is always one."""
    profile_skills: tuple[str, ...] = ("*",)
    """Skills that chats may use."""
    trusted_plugins: tuple[str, ...] = ()
    """Plugins of yours that run in the agent's own process, with all its rights: they can read every secret and every
    session. Only what needs it there (tools with `host=True`, services) is a reason. `dirigent plugins trust NAME`
    writes it, and pins it to the plugin's files: when they change, it is not trusted until you look again."""
    plugins: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Settings of plugins, such as `[plugins.web] searxng = "http://localhost:8888"`."""
    tools: dict[str, ToolSettings] = Field(default_factory=dict)
    """Your word on what single tools do, by the names of `dirigent plugins`: `[tools."mail.send"]` with `effect`
    ("pure", "read", "write_inside", "effect"), `once` (not to be repeated unasked), `untrusted` (tells what others
    wrote), `private` (tells what is yours), `strict` (pays, deletes or installs), each true or false, and `egress`
    (the arguments that leave). What you leave out is as its author says."""
    mcp: dict[Name, McpServer] = Field(default_factory=dict)
    """Servers of tools that speak MCP, by a name of your choice: `[mcp.clock]` with `command = ["mcp-server-time"]` or
    `url = "https://…"`; `dirigent mcp --help` says more. None of their tools is used before `dirigent mcp add` or
    `accept` has shown them to you."""
    secrets: dict[str, SecretStr] = Field(default_factory=dict)
    """Secrets by name; a tool sees only those that it declares."""
    log_level: Level = "INFO"
    """Of the log file in the home: DEBUG, INFO, WARNING or ERROR."""
    log_json: bool = False
    """Write the log as JSON lines."""
    limits: Limits = Field(default_factory=Limits)
    """Bounds of a run."""
    llm: Model = Field(default_factory=Model)
    """How the model is reached, beyond its name."""
    workers: Workers = Field(default_factory=Workers)
    """Many workers."""
    chat: Chat = Field(default_factory=Chat)
    """How a conversation goes."""
    policy: Consent = Field(default_factory=Consent)
    """What is asked before it is done."""
    telegram: Telegram = Field(default_factory=Telegram)
    """How the bot behaves in chats."""
    automation: Automation = Field(default_factory=Automation)
    """What runs by itself."""
    sandbox: Sandbox = Field(default_factory=Sandbox)
    """What sandboxed work may use."""
    web: Web = Field(default_factory=Web)
    """The HTTP door."""
    sessions: Sessions = Field(default_factory=Sessions)
    """Where the files of conversations are kept."""
    tracing: Tracing = Field(default_factory=Tracing)
    """Where traces go."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        *_: Any,
        **_others: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take only what is given in the call."""
        return (init_settings,)

    @property
    def folder(self) -> Path:
        """The home, expanded and absolute."""
        return self.home.expanduser().absolute()

    @property
    def server_folders(self) -> tuple[Path, ...]:
        """The folders that are shown inside for MCP servers, never one that holds the home or lies in it."""
        told = [Path(one).expanduser().absolute() for server in self.mcp.values() for one in server.folders]
        home = self.folder
        return tuple(one for one in told if not (home.is_relative_to(one) or one.is_relative_to(home)))

    @property
    def sessions_folder(self) -> Path:
        """Where each session has its folder on this machine, expanded and absolute."""
        chosen = self.sessions.folder
        return self.folder / "sessions" if chosen is None else chosen.expanduser().absolute()

    @property
    def plugin_places(self) -> tuple[Path, ...]:
        """Every folder with the owner's plugins, expanded and absolute; `plugins/` in the home is the first."""
        return (self.folder / "plugins", *(folder.expanduser().absolute() for folder in self.plugin_folders))

    @property
    def skill_places(self) -> tuple[Path, ...]:
        """Every folder with the owner's skills, expanded and absolute; `skills/` in the home is the first."""
        return (self.folder / "skills", *(folder.expanduser().absolute() for folder in self.skill_folders))


class Installation(AppConfig):
    """The configuration of an installation: its sources are the environment and the files of the home as well."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: Any,
        **_others: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return every source, strongest first."""
        return sources_of(settings_cls, init_settings())


def load_config(**overrides: Any) -> AppConfig:
    """Collect every source, check it, and create the home (0700).

    `overrides` are settings by name; None means not given. Raises ConfigError with one sentence for everything wrong,
    each naming the key, the value (never a secret's) and where it was set.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        config = Installation(**given)
    except ValidationError as error:
        said = explain(error, AppConfig, sources_of(AppConfig, given))
        raise ConfigError(said, hint="`dirigent settings` explains every setting.") from None
    try:
        config.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The home folder {config.folder} cannot be made: {error.strerror}.",
            hint="Set DIRIGENT_HOME to a folder that you may write.",
        ) from None
    return config
