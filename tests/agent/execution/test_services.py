"""What host tools share: made once, kept, closed in order, told when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from agent.catalogue import Catalogue
from agent.config import AppConfig
from agent.execution import services as module
from agent.execution.services import Named, Services
from agent.testing import Bot, step
from plugins.api import Context, ServiceContext, ToolFailure, service, tool
from plugins.loader import from_functions

LOG: list[str] = []


@pytest.fixture(autouse=True)
def empty():
    LOG.clear()


@service(settings=["url"], secrets=["shop_token"])
async def shop(ctx: ServiceContext) -> AsyncIterator[str]:
    """A client that notes its life."""
    LOG.append("open shop")
    await asyncio.sleep(0)
    yield f"shop at {ctx.settings.get('url', 'home')} with {ctx.secret('shop_token')}"
    LOG.append("close shop")


@service
async def cashier(ctx: ServiceContext) -> AsyncIterator[str]:
    """Needs the shop."""
    found = await ctx.service("shop")
    LOG.append("open cashier")
    yield f"cashier of {found}"
    LOG.append("close cashier")


@service
async def hen(ctx: ServiceContext) -> AsyncIterator[str]:
    """Needs the egg."""
    yield await ctx.service("egg")


@service
async def egg(ctx: ServiceContext) -> AsyncIterator[str]:
    """Needs the hen."""
    yield await ctx.service("hen")


@service
async def moody(ctx: ServiceContext) -> AsyncIterator[str]:
    """Fails when it is first made."""
    LOG.append("try")
    if len(LOG) == 1:
        raise ToolFailure("The shop is closed.", hint="Come at nine.")
    yield "open at last"


@service
async def broken(ctx: ServiceContext) -> AsyncIterator[str]:
    """Has a mistake."""
    raise ValueError("token s3cret-token-value is wrong")
    yield ""


@service
async def stubborn(ctx: ServiceContext) -> AsyncIterator[str]:
    """Does not end by itself."""
    yield "here"
    LOG.append("hangs")
    await asyncio.Event().wait()


def services(tmp_path: Path, *functions: Any, **secrets: str) -> Services:
    config = AppConfig(home=tmp_path, secrets={name: SecretStr(value) for name, value in secrets.items()})
    return Services(config, Catalogue([from_functions("shops", functions)]))


async def got(held: Services, name: str, names: dict[str, Named] | None = None) -> Any:
    spec, settings = held.spec(name, "shops", names or {})
    return await held.get(spec, settings)


async def test_all_who_ask_get_the_same_instance(tmp_path: Path):
    held = services(tmp_path, shop, shop_token="t0ken")
    first = await asyncio.gather(*(got(held, "shop") for _ in range(5)))
    assert set(first) == {"shop at home with t0ken"}
    assert await got(held, "shops.shop") is first[0]
    assert LOG == ["open shop"]
    await held.close()


async def test_a_pipelines_name_stands_for_a_service_with_settings_of_its_own(tmp_path: Path):
    held = services(tmp_path, shop, shop_token="t0ken")
    names = {"corner": Named("shop", {"url": "corner"}), "shop": Named("shop", {"url": "mall"})}
    assert [await got(held, name, names) for name in ("corner", "shop")] == [
        "shop at corner with t0ken",
        "shop at mall with t0ken",
    ]
    assert await got(held, "shop") == "shop at home with t0ken"
    assert LOG == ["open shop"] * 3
    await held.close()


async def test_services_are_closed_in_the_reverse_order(tmp_path: Path):
    held = services(tmp_path, cashier, shop, shop_token="t0ken")
    assert await got(held, "cashier") == "cashier of shop at home with t0ken"
    await held.close()
    assert LOG == ["open shop", "open cashier", "close cashier", "close shop"]
    with pytest.raises(ToolFailure, match="has ended"):
        await got(held, "shop")


async def test_services_that_ask_for_each_other_are_named(tmp_path: Path):
    held = services(tmp_path, hen, egg)
    results = await asyncio.gather(got(held, "hen"), got(held, "egg"), return_exceptions=True)
    assert all("ask for each other in a circle" in str(result) for result in results)
    await held.close()


async def test_a_service_that_failed_is_tried_again_by_the_next_who_asks(tmp_path: Path):
    held = services(tmp_path, moody)
    results = await asyncio.gather(got(held, "moody"), got(held, "moody"), return_exceptions=True)
    assert [str(result) for result in results] == ["The shop is closed."] * 2
    assert await got(held, "moody") == "open at last"
    assert LOG == ["try", "try"]
    await held.close()


async def test_a_mistake_in_a_service_is_told_without_its_words(tmp_path: Path):
    held = services(tmp_path, broken)
    with pytest.raises(ToolFailure, match=r"shops\.broken could not be made: ValueError") as caught:
        await got(held, "broken")
    assert "s3cret" not in caught.value.message + caught.value.hint
    await held.close()


async def test_who_stops_waiting_takes_nothing_from_the_others(tmp_path: Path):
    held = services(tmp_path, shop, shop_token="t0ken")
    impatient, patient = (asyncio.ensure_future(got(held, "shop")) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == "shop at home with t0ken"
    assert LOG == ["open shop"]
    await held.close()


async def test_closing_waits_no_longer_than_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "CLOSING_SECONDS", 0.05)
    held = services(tmp_path, shop, stubborn, shop_token="t0ken")
    await got(held, "shop")
    await got(held, "stubborn")
    await held.close()
    assert LOG == ["open shop", "hangs", "close shop"]


async def test_closing_that_is_cancelled_still_ends_every_service(tmp_path: Path):
    held = services(tmp_path, shop, stubborn, shop_token="t0ken")
    await got(held, "shop")
    await got(held, "stubborn")
    closing = asyncio.ensure_future(held.close())
    while "hangs" not in LOG:
        await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert LOG == ["open shop", "hangs", "close shop"]


async def test_an_unknown_service_names_the_nearest(tmp_path: Path):
    held = services(tmp_path, shop)
    with pytest.raises(ToolFailure) as caught:
        await got(held, "shopp", {"corner": Named("shop", {})})
    assert (caught.value.message, caught.value.hint) == (
        "There is no service 'shopp'.",
        "Did you mean 'shop' or 'shops.shop'? This pipeline names corner.",
    )
    with pytest.raises(ToolFailure, match="The secret shop_token is not set"):
        await got(held, "shop")
    await held.close()


@tool(host=True, effect="read")
async def ask_shop(ctx: Context, name: str = "shop") -> str:
    """Ask the shop."""
    return str(await ctx.service(name))


async def test_a_tool_gets_the_service_and_its_secret_is_hidden_in_what_it_says(tmp_path: Path):
    async with Bot(tmp_path, [shop, cashier, ask_shop], secrets={"shop_token": "s3cret-token-value"}) as bot:
        bot.llm.will_plan(step("a", "ask_shop"), step("b", "ask_shop", name="cashier"))
        bot.llm.will_answer("asked")
        await bot.hears("ask the shop")
        texts = {record.step.id: record.text for record in await bot.steps()}
        assert texts.keys() >= {"a", "b"}
        assert texts["a"].startswith("shop at home with ")
        assert "s3cret" not in "".join(texts.values())
        assert LOG == ["open shop", "open cashier"]
    assert LOG == ["open shop", "open cashier", "close cashier", "close shop"]
