"""Pictures go to a model as parts of a message, until its server refuses one."""

import base64
import io

import pytest
from PIL import Image

from agent.errors import ModelRefused
from agent.llm.protocol import ChatMessage, LLMRequest, Picture


def picture(width=30, height=20):
    held = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(held, "JPEG")
    return Picture(held.getvalue(), width, height)


def looking(*pictures, purpose="plan", **fields):
    words = ChatMessage("user", "What is this?", images=pictures or (picture(),))
    return LLMRequest(purpose, (ChatMessage("system", "Look."), words), **fields)


async def test_pictures_come_before_the_words_as_data_urls(talk):
    one = picture()
    async with talk("A red one.") as t:
        assert (await t.stream(request=looking(one))).text == "A red one."
        shown, said = t.server.requests[0]["messages"][1]["content"]
        assert said == {"type": "text", "text": "What is this?"}
        head, _, data = shown["image_url"]["url"].partition(",")
        assert (head, base64.b64decode(data)) == ("data:image/jpeg;base64", one.data)


async def test_a_refused_picture_is_told_once_and_the_request_goes_on_without(talk):
    async with talk("Blind.", "Still blind.", refuses=["image"]) as t:
        assert t.model.sees()
        assert (await t.stream(request=looking())).text == "Blind."
        assert t.notices == ["The model fake-model can't look at pictures; going on without them."]
        assert not t.model.sees()
        await t.stream(request=looking())
        assert t.notices == []
        kinds = [type(request["messages"][1]["content"]).__name__ for request in t.server.requests]
        assert kinds == ["list", "str", "str"]
        assert "pictures that you can't look at" in t.server.requests[-1]["messages"][1]["content"]


async def test_a_call_that_makes_no_sense_without_its_picture_is_refused(talk):
    async with talk(refuses=["image"]) as t:
        for _ in range(2):
            with pytest.raises(ModelRefused, match=r"can't look at pictures.*llm\.vision"):
                await t.model.complete(looking(must_see=True))
        assert len(t.server.requests) == 1


async def test_vision_off_sends_none_and_on_never_gives_up(talk):
    async with talk("Words.", settings={"vision": "off"}) as t:
        await t.stream(request=looking())
        assert isinstance(t.server.requests[0]["messages"][1]["content"], str)
    async with talk("Words.", refuses=["image"], settings={"vision": "on"}) as t:
        with pytest.raises(ModelRefused, match="image"):
            await t.model.complete(looking())
        assert t.model.sees()


async def test_another_refusal_does_not_make_a_model_blind(talk):
    async with talk("Seen.", refuses=["max_tokens"]) as t:
        assert (await t.model.complete(looking(max_tokens=50))).text == "Seen."
        assert t.model.sees()


async def test_a_server_without_a_system_role_gets_the_pictures_all_the_same(talk):
    async with talk("Seen.", refuses=["system"]) as t:
        assert (await t.model.complete(looking())).text == "Seen."
        kinds = [part["type"] for part in t.server.requests[-1]["messages"][0]["content"]]
        assert kinds == ["text", "image_url", "text"]


async def test_the_strict_server_refuses_what_is_no_picture(talk):
    async with talk(settings={"vision": "on"}) as t:
        with pytest.raises(ModelRefused, match="unsupported image"):
            await t.model.complete(looking(Picture(b"no picture", 1, 1)))


@pytest.mark.parametrize(("width", "height", "tokens"), [(10, 10, 85), (750, 1000, 1000), (1568, 1568, 1600)])
def test_a_picture_takes_tokens_by_its_size(width, height, tokens):
    assert Picture(b"", width, height).tokens == tokens
    assert looking(Picture(b"", width, height), Picture(b"", width, height)).picture_tokens == 2 * tokens
