"""Fakes for us and for plugin authors.

`Bot` is a whole Dirigent in one process, with a scripted model and your tools, and needs no network:

    bot.llm.will_plan(step("first", "echo", text="hi"))
    bot.llm.will_answer("It said hi.")
    answer = await bot.hears("say hi")

`telegram_server.FakeTelegram`, `openai_server.FakeOpenAI`, `zammad_server.FakeZammad` and `otobo_server.FakeOtobo`
stand in for the real servers over real sockets; `postgres.PostgresServer` is a real one of one's own.
"""

from agent.testing.bot import Answer, Bot
from agent.testing.scripted import ScriptedLLM, step

__all__ = ["Answer", "Bot", "ScriptedLLM", "step"]
