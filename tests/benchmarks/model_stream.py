"""CPU per streamed chunk: our client, a bare httpx client, and the SDK's own stream, in turn and in one run.

    python tests/benchmarks/model_stream.py [--chunks 2000] [--rate 400] [--rounds 5]

The server is a process of its own and paces its chunks, so that each arrives alone, as from a real model. Only CPU time
of this process counts. What matters are the ratios: the best round of each is compared.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from agent.config import Model
from agent.llm.openai_client import OpenAIModel
from agent.llm.protocol import ChatMessage, LLMRequest, TextDelta

BODY = {"model": "fake-model", "messages": [{"role": "user", "content": "hi"}], "stream": True}


async def ours(base_url):
    model = OpenAIModel("fake-model", base_url, None, Model())
    request = LLMRequest("answer", (ChatMessage("user", "hi"),))

    async def once():
        return sum([1 async for item in model.stream(request) if isinstance(item, TextDelta)])

    return once, model.close


async def bare(base_url):
    import httpx

    client = httpx.AsyncClient(timeout=60)

    async def once():
        count = 0
        async with client.stream("POST", f"{base_url}/chat/completions", json=BODY) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
                    count += 1
        return count

    return once, client.aclose


async def sdk(base_url):
    import openai

    client = openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0)

    async def once():
        stream = await client.chat.completions.create(**BODY)
        return sum([1 async for chunk in stream if chunk.choices and chunk.choices[0].delta.content])

    return once, client.close


async def measure(base_url, rounds):
    clients = {"ours": ours, "bare httpx": bare, "sdk stream": sdk}
    opened = {name: await make(base_url) for name, make in clients.items()}
    spent = {name: [] for name in clients}
    for turn in range(rounds + 1):
        for name, (once, _) in opened.items():
            begun = time.process_time()
            count = await once()
            if turn:  # the first turn loads libraries and connects
                spent[name].append((time.process_time() - begun) / count)
    for _, close in opened.values():
        await close()
    return spent


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--chunks", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=400.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "script.json")
        text = " ".join(f"w{i}" for i in range(options.chunks))
        script.write_text(json.dumps([{"default": {"text": text, "tokens_per_second": options.rate}}]))
        command = [sys.executable, "-m", "agent.testing.openai_server", "--script", str(script)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        try:
            spent = asyncio.run(measure(server.stdout.readline().strip(), options.rounds))
        finally:
            server.terminate()
            server.wait()
            server.stdout.close()
    best = min(spent["bare httpx"])
    for name, seconds in spent.items():
        median = statistics.median(seconds)
        print(
            f"{name:12} {min(seconds) * 1e6:7.0f} µs CPU per chunk (median {median * 1e6:.0f}), {min(seconds) / best:.2f} × bare"
        )


if __name__ == "__main__":
    main()
