"""Classification by a local model: a tiny one that is made here. Needs the extra `classify`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agent.testing import Bot
from plugins.api import ToolFailure
from plugins.classify import classify
from plugins.classify import model as model_module
from plugins.classify.model import Classifier

MISSING = "the extra `classify` is not installed (fine in CI)"
torch = pytest.importorskip("torch", reason=MISSING)
transformers = pytest.importorskip("transformers", reason=MISSING)
tokenizers = pytest.importorskip("tokenizers", reason=MISSING)

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "invoice", "refund", "vpn", "printer", "the", "a"]
pytestmark = pytest.mark.filterwarnings("default")  # the libraries' own warnings are not ours


def made(folder: Path, labels: tuple[str, ...] = ("Billing", "IT")) -> Path:
    """Write a model that has learned, by hand, that invoice and refund are one class and vpn and printer another."""
    folder.mkdir(parents=True)
    tokenizer().save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=32,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
    )
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(config)
    trained(model)
    model.save_pretrained(folder)
    return folder


def tokenizer() -> Any:
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel(dict(zip(WORDS, range(99), strict=False)), "[UNK]"))
    plain.normalizer = tokenizers.normalizers.Lowercase()
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    plain.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=plain, **special)


def trained(model: Any) -> None:
    model.eval()  # without dropout, so that the same is learned every time
    alone = torch.tensor([[2, 5, 3], [2, 6, 3], [2, 7, 3], [2, 8, 3]])
    after = torch.tensor([[2, 9, 5, 3], [2, 10, 6, 3], [2, 9, 7, 3], [2, 10, 8, 3]])
    right = torch.tensor([0, 0, 1, 1])
    steps = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(40):
        for ids in (alone, after):
            steps.zero_grad()
            model(input_ids=ids, labels=right).loss.backward()
            steps.step()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("models")
    made(home / "queue")
    return home


@pytest.fixture
def ctx(host_ctx: Any, models: Path) -> Any:
    host_ctx.settings = {"model": str(models / "queue")}
    return host_ctx


@pytest.mark.parametrize(("text", "label"), [("the invoice", "Billing"), ("Refund", "Billing"), ("a VPN", "IT")])
async def test_a_local_model_classifies(ctx: Any, text: str, label: str):
    result = await classify(ctx, text)
    assert (result.value["label"], result.value["method"]) == (label, "model")
    assert result.value["score"] > 0.6
    assert sum(result.value["scores"].values()) == pytest.approx(1, abs=0.01)
    assert ctx.ran_inside == []


async def test_a_model_is_chosen_by_its_name_in_the_owners_folder(ctx: Any, models: Path):
    ctx.settings = {"model": str(models)}
    assert (await classify(ctx, "vpn", model="queue")).value["label"] == "IT"
    assert "no model in" in (await refusal(classify(ctx, "vpn", model="other")))


async def refusal(call: Any) -> str:
    with pytest.raises(ToolFailure) as caught:
        await call
    return f"{caught.value.message} {caught.value.hint}"


async def test_labels_narrow_and_are_spelt_as_asked(ctx: Any):
    assert (await classify(ctx, "vpn", ["billing", "it"])).value["label"] == "it"
    assert "does not know the label 'Sales'. It knows " in await refusal(classify(ctx, "vpn", ["Sales"]))


async def test_the_threshold_holds_for_a_model(ctx: Any):
    sure = (await classify(ctx, "vpn")).value["score"]
    result = await classify(ctx, "vpn the invoice a vpn", threshold=1.0, default="ask someone")
    assert result.value["label"] == ("ask someone" if result.value["score"] < 1 else result.value["best"])
    assert (await classify(ctx, "vpn", threshold=sure)).value["label"] == "IT"


async def test_long_and_empty_texts_fit(ctx: Any):
    for text in ("vpn " * 5_000, "", "\0", "日本語"):
        assert (await classify(ctx, text)).value["best"] in {"Billing", "IT"}


async def test_a_model_that_was_replaced_is_loaded_anew(host_ctx: Any, tmp_path: Path):
    folder = made(tmp_path / "m")
    host_ctx.settings = {"model": str(folder)}
    assert (await classify(host_ctx, "vpn")).value["label"] == "IT"
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": "Money", "1": "Machines"}
    (folder / "config.json").write_text(json.dumps(config))
    assert (await classify(host_ctx, "vpn")).value["label"] == "Machines"


async def test_a_folder_that_holds_no_classifier_is_described(host_ctx: Any, tmp_path: Path):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "no-such-type"}')
    (folder / "model.safetensors").write_bytes(b"rubbish")
    host_ctx.settings = {"model": str(folder)}
    assert "can't be loaded" in await refusal(classify(host_ctx, "x"))


def random_model(folder: Path, seed: int) -> Path:
    """Write a model of two layers with random weights, and a WordPiece vocabulary with parts of words."""
    folder.mkdir(parents=True)
    words = [*WORDS[:5], "in", "##voice", "##s", "vp", "##n", "re", "##fund"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=3,
        id2label={0: "Billing", 1: "IT", 2: "Sales"},
        initializer_range=1.0,
    )
    torch.manual_seed(seed)
    transformers.BertForSequenceClassification(config).eval().save_pretrained(folder)
    return folder


async def test_a_model_of_random_weights_answers_by_its_seed_alone(tmp_path: Path):
    said = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        folder = random_model(tmp_path / name, seed)
        said.append(await Classifier(str(folder)).scores("invoices and a vpn"))
    assert said[0] == said[1]
    assert said[0] != said[2]
    assert set(said[0]) == {"Billing", "IT", "Sales"}
    assert sum(said[0].values()) == pytest.approx(1, abs=0.01)
    assert list(said[0].values()) == sorted(said[0].values(), reverse=True)
    assert await Classifier(str(tmp_path / "a")).scores("refund") != said[0]


async def test_a_model_is_loaded_once_for_all_calls_of_the_service(ctx: Any, monkeypatch: pytest.MonkeyPatch):
    loads: list[str] = []
    load = model_module._loaded
    monkeypatch.setattr(model_module, "_loaded", lambda folder: loads.append(folder) or load(folder))
    results = await asyncio.gather(*(classify(ctx, text) for text in ("vpn", "invoice", "vpn", "a refund")))
    assert [result.value["label"] for result in results] == ["IT", "Billing", "IT", "Billing"]
    assert len(loads) == 1


async def test_a_pipeline_names_a_model_of_its_own(tmp_path: Path, models: Path):
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/sort.yaml").write_text(f"""
name: sort
services: {{mine: {{use: classifier, model: "{models}"}}}}
steps:
  - {{id: one, use: classify, args: {{text: vpn, service: mine, model: queue}}}}
outputs: {{label: "{{{{ steps.one.output.label }}}}"}}
""")
    async with Bot(tmp_path, builtin=True, offline=True) as bot:
        assert (await bot.hears("/run sort", trusted=True)).text == "IT"
