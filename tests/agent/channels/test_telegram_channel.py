"""The whole channel against the fake Bot API server, over real sockets."""

from __future__ import annotations

from agent.domain.messages import MessageKind

from .conftest import OWNER, notice


async def test_a_message_is_heard_and_an_answer_arrives(rig):
    async with rig.up():
        asked = rig.server.user_says(OWNER, "hello")
        await rig.hearer.until(lambda: rig.hearer.heard)
        heard = rig.hearer.heard[0]
        await rig.store.post(notice("**Hi** there", kind=MessageKind.ANSWER, key="a", dest=heard.dest))
        shown = await rig.server.wait_for(
            lambda: rig.server.bot_messages(OWNER)[0].text == "Hi there" and rig.server.bot_messages(OWNER)[0],
        )

    assert (heard.text, heard.user_id, heard.trusted, heard.dest.session_id) == ("hello", "11", True, "telegram:11")
    assert shown.reply_to == asked
    assert shown.entities[0]["type"] == "bold"
    assert len(rig.server.bot_messages(OWNER)) == 1
