"""Chat completions, asked for with the `openai` package from PyPI."""

import asyncio
import json
import re
from base64 import b64encode, urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Literal, Optional

import openai
import pytest
import requests
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, Field
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
        held_against = retrieval["relevance"]
        assert retrieval["facts"][0]["relevance"] > held_against["question_threshold"] and retrieval["threshold"] is None
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


class Size(BaseModel):
    unit: Literal["mm", "cm"]
    value: int = Field(ge=0, le=99)


class Finding(BaseModel):
    colour: Literal["red", "green", "purple"]
    jagged: bool
    sizes: list[Size] = Field(max_length=2)
    note: Optional[Annotated[str, Field(max_length=8)]]


def test_answers_are_of_a_class(client, edit):
    def ask(**options):
        return client.chat.completions.parse(model=MODEL, messages=about("specimen.jpg"), response_format=Finding, **options)

    for options in ({}, {"temperature": 1.5, "seed": 1}, {"temperature": 1.5, "seed": 2, "logprobs": True}):
        answer = ask(**options)
        assert answer.choices[0].finish_reason == "stop"
        assert isinstance(answer.choices[0].message.parsed, Finding), answer
        with client.chat.completions.stream(model=MODEL, messages=about("specimen.jpg"), response_format=Finding, **options) as stream:
            final = stream.get_final_completion()
        assert final.choices[0].message.parsed == answer.choices[0].message.parsed
    with pytest.raises(openai.LengthFinishReasonError):
        ask(max_tokens=3)
    any_object = client.chat.completions.create(
        model=MODEL, messages=about("specimen.jpg"), response_format={"type": "json_object"}, max_tokens=30)
    assert any_object.choices[0].message.content.startswith("{")


def test_what_vllms_clients_send(client, edit):
    def ask(body, **options):
        return client.chat.completions.create(model=MODEL, messages=about("specimen.jpg"), extra_body=body, **options)

    for body in ({"guided_choice": ["square", "pumpkin"]}, {"structured_outputs": {"choice": ["square", "pumpkin"]}}):
        answer = ask(body)
        assert answer.choices[0].message.content == "pumpkin"
        assert answer.model_extra["reasonedit"]["choices"][1]["probability"] > 0.5
    assert re.fullmatch("[a-c]{3}", ask({"guided_regex": "[a-c]{3}"}).choices[0].message.content)
    schema = Finding.model_json_schema()
    # vLLM's own fields take a schema as it is; without this any number of further fields would be of it.
    for closed in (schema, *schema.get("$defs", {}).values()):
        if closed.get("type") == "object":
            closed["additionalProperties"] = False
    for body in ({"guided_json": schema}, {"guided_json": json.dumps(schema)}, {"structured_outputs": {"json": schema}}):
        Finding.model_validate_json(ask(body).choices[0].message.content)
    long = ask({"min_tokens": 20, "top_k": 40, "min_p": 0.01, "repetition_penalty": 1.1}, temperature=1.0, seed=1, max_tokens=30)
    assert 20 <= long.usage.completion_tokens <= 30
    end = {"ignore_eos": True, "stop_token_ids": [], "include_stop_str_in_output": False, "skip_special_tokens": True}
    assert ask(end, max_tokens=12).choices[0].finish_reason == "length"
    begun = [*about("specimen.jpg"), {"role": "assistant", "content": "It is a"}]
    answer = client.chat.completions.create(
        model=MODEL, messages=begun, extra_body={"continue_final_message": True, "add_generation_prompt": False})
    assert not answer.choices[0].message.content.strip().startswith("It is a")
    for field, value in (("use_beam_search", True), ("best_of", 3), ("echo", True), ("bad_words", ["red"]), ("truncate_prompt_tokens", 5)):
        with pytest.raises(openai.BadRequestError) as caught:
            ask({field: value})
        assert (caught.value.code, caught.value.param) == ("unsupported_parameter", field)


def test_requests_as_chat_programs_send_them(service, edit):
    """Bodies that others write by hand: fields that OpenAI has no more or never had, nulls, empty lists, whole conversations."""
    url = service.url + "/v1/chat/completions"
    shown = {"role": "user", "content": [{"type": "text", "text": QUESTION}, image("specimen.jpg")]}
    bodies = {
        "Open WebUI": {"stream": True, "stream_options": None, "messages": [shown], "metadata": {"chat_id": "1"}, "features": {}, "params": {},
                       "tool_ids": None, "files": [], "session_id": "x", "background_tasks": {"title_generation": True}},
        "LibreChat": {"messages": [{"role": "system", "content": "Be brief."}, shown], "user": "u-1", "temperature": 0, "top_p": 1,
                      "presence_penalty": 0, "frequency_penalty": 0, "stop": [], "tools": []},
        "LM Studio": {"messages": [shown], "temperature": 0, "max_tokens": -1, "top_k": 40, "repeat_penalty": 1.0, "min_p": 0.05, "stop": []},
        "Continue": {"messages": [shown], "max_tokens": 512, "stop": None, "prediction": None, "keepAlive": 1800, "tool_choice": "none"},
        "LiteLLM": {"messages": [shown], "n": 1, "logit_bias": {}, "response_format": None, "seed": None, "parallel_tool_calls": None,
                    "max_retries": 2, "timeout": 600, "extra_headers": {}, "reasoning_effort": None},
        "LangChain": {"messages": [shown], "n": 1, "stream": False, "logprobs": False, "temperature": 0.0, "max_completion_tokens": 64},
        "Jan": {"messages": [shown, {"role": "assistant", "content": ""}], "engine": "llamacpp", "cache_prompt": True, "frequency_penalty": 0},
        "numbers with a point": {"messages": [shown], "max_tokens": 64.0, "seed": 7.0, "n": 1.0, "temperature": 0},
    }
    for name, body in bodies.items():
        answer = requests.post(url, json={"model": MODEL, **body}, timeout=120)
        assert answer.status_code == 200, (name, answer.text)
        if body.get("stream"):
            assert "pumpkin" in answer.text and answer.text.rstrip().endswith("data: [DONE]"), name
        else:
            assert answer.json()["choices"][0]["message"]["content"] == "pumpkin", (name, answer.text)

    messages = []
    for turn in range(11):
        messages += [shown, {"role": "assistant", "content": None if turn == 3 else "I see."}]
    answer = requests.post(url, json={"model": MODEL, "messages": [*messages, {"role": "user", "content": [image("specimen.jpg")]}]}, timeout=120)
    assert answer.status_code == 200, answer.text
    told = answer.json()["reasonedit"]
    assert told["omitted_pictures"] == [f"/messages/{at}/content/1" for at in (0, 2, 4, 6)]
    assert told["warnings"][0]["code"] == "pictures_omitted"


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
    assert refused(openai.BadRequestError, stream=True, audio={"voice": "x", "format": "wav"}).param == "audio"
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "array", "uniqueItems": True}}}
    error = refused(openai.BadRequestError, stream=True, response_format=schema)
    assert (error.code, error.param) == ("unsupported_parameter", "response_format.json_schema.schema.uniqueItems")
    error = refused(openai.BadRequestError, messages=[{"role": "user", "content": "Is it round? " * 250}, *about("specimen.jpg")] * 4)
    assert error.code == "context_length_exceeded" and error.param == "messages", error

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
