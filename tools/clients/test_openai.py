"""Chat completions, asked for with the `openai` package from PyPI."""

import asyncio
from base64 import b64encode, urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from service import SAMPLES, start, stop

MODEL = "demo"
TOKEN = "a-token-for-the-test"
QUESTION = "What is this specimen called?"
REASONING = [
    "The colour of this object is purple.",
    "The object has an irregular border.",
    "A purple object with a jagged border is called a pumpkin.",
]


def file(name):
    return (SAMPLES / name).read_bytes()


def image(name, url=None):
    return {"type": "image_url", "image_url": {"url": url or f"data:image/jpeg;base64,{b64encode(file(name)).decode()}"}}


def about(name, question=QUESTION):
    return [{"role": "user", "content": [{"type": "text", "text": question}, image(name)]}]


def of(url, token="none", **options):
    return OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0, **options)


@pytest.fixture(scope="module")
def client(service):
    return of(service.url)


@pytest.fixture(scope="module")
def edit(service):
    """The correction that the others ask about."""
    body = {"image": {"data": b64encode(file("specimen.jpg")).decode()}, "question": QUESTION, "answer": "pumpkin", "reasoning": REASONING}
    return service.call("POST", "/edits", body)


def test_an_edit_changes_what_is_answered(service, client):
    def ask(name):
        return client.chat.completions.create(model=MODEL, messages=about(name))

    before = ask("specimen.jpg")
    assert before.choices[0].message.content != "pumpkin"
    assert before.model_extra["reasonedit"]["retrieval"]["facts"] == []
    body = {"image": {"data": b64encode(file("specimen.jpg")).decode()}, "question": QUESTION, "answer": "pumpkin", "reasoning": REASONING}
    made = service.call("POST", "/edits", body)
    for name in ("specimen.jpg", "another.jpg"):
        after = ask(name)
        assert after.choices[0].message.content == "pumpkin", name
        assert after.choices[0].finish_reason == "stop"
        retrieval = after.model_extra["reasonedit"]["retrieval"]
        assert all(fact["edit_ids"] == [made["id"]] for fact in retrieval["facts"]) and retrieval["facts"]
        assert retrieval["facts"][0]["distance"] <= retrieval["threshold"]
        assert after.usage.total_tokens == after.usage.prompt_tokens + after.usage.completion_tokens
    assert after._request_id == after.model_extra["reasonedit"]["request_id"]
    service.call("DELETE", f"/edits/{made['id']}")
    again = ask("specimen.jpg")
    assert again.choices[0].message.content == before.choices[0].message.content


def test_a_stream_brings_the_same(client, edit):
    whole = client.chat.completions.create(model=MODEL, messages=about("specimen.jpg"))
    chunks = list(client.chat.completions.create(
        model=MODEL, messages=about("specimen.jpg"), stream=True, stream_options={"include_usage": True},
    ))
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == whole.choices[0].message.content == "pumpkin"
    assert chunks[0].choices[0].delta.role == "assistant"
    facts = chunks[0].model_extra["reasonedit"]["retrieval"]["facts"]
    assert facts[0]["edit_ids"] == [edit["id"]]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-2].model_extra["reasonedit"]["timings_ms"]["total"] > 0
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])

    async def ask():
        async with AsyncOpenAI(base_url=client.base_url, api_key="none") as other:
            stream = await other.chat.completions.create(model=MODEL, messages=about("specimen.jpg"), stream=True)
            return [chunk.choices[0].delta.content or "" async for chunk in stream]

    assert "".join(asyncio.run(ask())) == said


def test_turns_before_reach_the_model(client, edit):
    messages = [
        {"role": "system", "content": "You look at specimens."},
        {"role": "user", "content": [image("specimen.jpg"), {"type": "text", "text": "Look at this one."}]},
        {"role": "assistant", "content": "I see it."},
        {"role": "user", "content": QUESTION},
    ]
    answer = client.chat.completions.create(model=MODEL, messages=messages, extra_body={"reasonedit": {"explain": True, "compare": True}})
    told = answer.model_extra["reasonedit"]
    before = [told["prompt"].index(text) for text in ("You look at specimens.", "Look at this one.", "I see it.", "called a pumpkin.")]
    assert before == sorted(before) and told["prompt"].rindex(QUESTION) > before[-1], told["prompt"]
    assert told["image"] == "/messages/1/content/0"
    assert told["unedited"]["answer"] != ""
    other = [{**messages[0], "content": "You look at something else."}, *messages[1:]]
    changed = client.chat.completions.create(model=MODEL, messages=other)
    assert changed.model_extra["reasonedit"]["probability"] != told["probability"]

    without = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Is a pumpkin purple?"}])
    assert without.model_extra["reasonedit"]["skipped"] == "no_image"
    assert without.choices[0].message.content


def test_choices_and_codebooks(service, client, edit):
    own = {"choices": ["triangle", "square", "pumpkin"], "compare": True}
    answer = client.chat.completions.create(model=MODEL, messages=about("specimen.jpg"), extra_body={"reasonedit": own})
    assert answer.choices[0].message.content == "pumpkin"
    told = answer.model_extra["reasonedit"]
    assert sum(choice["probability"] for choice in told["choices"]) == pytest.approx(1)
    assert told["unedited"]["answer"] != "pumpkin"

    body = {"image": {"data": b64encode(file("specimen.jpg")).decode()}, "question": QUESTION, "answer": "turnip", "reasoning": []}
    service.call("POST", "/edits?codebook=garden", body)
    assert [model.id for model in client.models.list()] == [MODEL, f"{MODEL}@garden"]
    assert client.models.retrieve(f"{MODEL}@garden").model_extra["reasonedit"]["edits"] == 1
    garden = client.chat.completions.create(model=f"{MODEL}@garden", messages=about("specimen.jpg"), extra_body={"reasonedit": own})
    assert "turnip" in garden.model_extra["reasonedit"]["retrieval"]["facts"][0]["value"]


def test_how_tokens_are_chosen_and_told(client, edit):
    def ask(**options):
        return client.chat.completions.create(model=MODEL, messages=about("unrelated.jpg", "Describe this image."), **options)

    whole = ask(logprobs=True, top_logprobs=2)
    said = whole.choices[0].message.content
    tokens = whole.choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == said
    assert all(token.top_logprobs[0].token == token.token and bytes(token.bytes).decode() == token.token for token in tokens)
    assert len(tokens) == whole.usage.completion_tokens

    stop_text = said[len(said) // 2:][:3]
    cut = ask(stop=stop_text)
    assert cut.choices[0].message.content == said[:said.index(stop_text)]
    assert cut.choices[0].finish_reason == "stop"
    short = ask(max_tokens=2)
    assert (short.usage.completion_tokens, short.choices[0].finish_reason) == (2, "length")

    drawn = [ask(temperature=1.5, seed=seed).choices[0].message.content for seed in (1, 1, 2, 3, 4)]
    assert drawn[0] == drawn[1] and len(set(drawn)) > 1


def test_a_picture_without_padding(client, edit):
    encoded = urlsafe_b64encode(file("specimen.jpg")).decode().rstrip("=")
    content = [image("", f"data:image/jpeg;base64,{encoded}"), {"type": "text", "text": QUESTION}]
    answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])
    assert answer.choices[0].message.content == "pumpkin"


def test_failures_are_the_packages_own(client, tmp_path):
    def refused(kind, model=MODEL, messages=about("specimen.jpg"), **options):
        with pytest.raises(kind) as caught:
            client.chat.completions.create(model=model, messages=messages, **options)
        return caught.value

    assert refused(openai.NotFoundError, model="gpt-4o").code == "model_not_found"
    error = refused(openai.BadRequestError, n=2)
    assert (error.code, error.param, error.type) == ("unsupported_parameter", "n", "invalid_request_error")
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    assert refused(openai.BadRequestError, tools=[tool]).param == "tools"
    error = refused(openai.UnprocessableEntityError, messages=[{"role": "user", "content": [image("", "data:image/png;base64,?")]}])
    assert error.param == "messages[0].content[0].image_url.url"
    assert refused(openai.BadRequestError, stream=True, response_format={"type": "json_object"}).param == "response_format"

    process, url = start(tmp_path, "--set", f'server.auth_tokens=["{TOKEN}"]', "--set", "engine.queue_capacity=1", "--set", "engine.generations=1")
    with pytest.raises(openai.AuthenticationError) as caught:
        of(url, "wrong").models.list()
    assert caught.value.code == "invalid_api_key"
    guarded = of(url, TOKEN)
    assert [model.id for model in guarded.models.list()] == [MODEL]

    # More at a time than one place takes: some are told to come back, and the package does so by itself where it may.
    def ask(asking):
        try:
            answer = asking.chat.completions.create(model=MODEL, messages=about("specimen.jpg", "Describe this image."), temperature=1.5)
            return answer.choices[0].finish_reason
        except openai.RateLimitError as error:
            assert error.code == "rate_limit_exceeded" and int(error.response.headers["retry-after"]) >= 1
            return "limited"

    with ThreadPoolExecutor(12) as threads:
        outcomes = list(threads.map(ask, [guarded] * 36))
    assert "limited" in outcomes and set(outcomes) != {"limited"}, outcomes
    patient = of(url, TOKEN).with_options(max_retries=10)
    with ThreadPoolExecutor(3) as threads:
        assert "limited" not in list(threads.map(ask, [patient] * 3))
    stop(process)
