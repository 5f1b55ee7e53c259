"""Signing in with an issuer of other people's making (npm's oidc-provider): its tokens over HTTP, and a person on the page."""

import base64
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest
from conftest import Watched
from service import ROOT, Service, free_port, start, stop

ISSUER = ROOT / "tools" / "page" / "issuer"
MODULES = ROOT / "target" / "ci-issuer"


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    """A service that takes the tokens of an issuer, and the issuer's address."""
    folder = tmp_path_factory.mktemp("signed")
    MODULES.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "issuer.mjs"):
        shutil.copy(ISSUER / name, MODULES / name)
    if not (MODULES / "node_modules" / "oidc-provider").is_dir():
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=MODULES, check=True, timeout=300)
    port, own = free_port(), free_port()
    issuer = f"http://127.0.0.1:{port}"
    node = subprocess.Popen(["node", "issuer.mjs", str(port), f"http://127.0.0.1:{own}/"], cwd=MODULES, stdout=subprocess.PIPE,
                            stderr=open(folder / "issuer.log", "wb"), text=True)
    try:
        assert node.stdout.readline().strip() == "ready", (folder / "issuer.log").read_text()
        settings = folder / "reasonedit.toml"
        settings.write_text(f'[server.oidc]\nissuer = "{issuer}"\naudience = "reasonedit"\nclient_id = "page"\nscope = "openid edits"\n')
        process, url = start(folder, "--config", str(settings), port=own)
        yield Service(url), issuer
        stop(process)
    finally:
        node.terminate()
        node.wait()


def granted(issuer, client):
    """A token that the issuer gives a program of its own accord."""
    basic = base64.b64encode(f"{client}:secret".encode()).decode()
    form = urllib.parse.urlencode({"grant_type": "client_credentials", "scope": "edits", "resource": "urn:reasonedit"}).encode()
    request = urllib.request.Request(f"{issuer}/token", form, {"authorization": f"Basic {basic}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())["access_token"]


def refused(service, method, path, body=None):
    with pytest.raises(urllib.error.HTTPError) as error:
        service.call(method, path, body)
    return error.value.code, json.loads(error.value.read())["detail"]


def test_tokens_of_the_issuer_are_taken_by_what_they_claim(signed):
    service, issuer = signed
    ada = Service(service.url, granted(issuer, "ada.contributor"))
    said = ada.call("GET", "/whoami")
    assert (said["name"], said["role"], said["codebooks"]) == ("ada", "contributor", None) and said["expires_at"]
    assert refused(ada, "GET", "/tokens") == (403, "This needs the role admin; your token has contributor.")
    eve = Service(service.url, granted(issuer, "eve.visitor"))
    assert refused(eve, "GET", "/whoami") == (403, "Your token is in order, and gives you no role here.")
    head, body, signature = ada.token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = base64.urlsafe_b64encode(json.dumps({**claims, "roles": ["admin"]}).encode()).decode().rstrip("=")
    assert refused(Service(service.url, f"{head}.{forged}.{signature}"), "GET", "/whoami")[0] == 401
    assert refused(service, "GET", "/codebook")[0] == 401


def test_a_person_signs_in_on_the_page(browser, signed):
    service, issuer = signed
    tab = Watched(browser, service)
    tab.expected += [r"401", r"foreign"]
    page = tab.open()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Use it").wait_for()
    with page.expect_popup() as opened:
        dialog.get_by_role("button", name=f"Sign in with {issuer.removeprefix('http://')}").click()
    popup = opened.value
    popup.locator("input[name=login]").fill("grace.editor")
    popup.locator("input[name=password]").fill("any")
    popup.get_by_role("button", name="Sign-in").click()
    popup.get_by_role("button", name="Continue").click()
    page.locator("#who").get_by_text("grace, editor").wait_for()
    assert dialog.count() == 0
    if not popup.is_closed():
        popup.wait_for_event("close")
    assert "code=" not in page.url
    tab.shot("signed-in")
    page.get_by_role("button", name="Sign out").click()
    dialog.get_by_role("button", name="Use it").wait_for()
    tab.shot("sign-in")
    tab.close()


def test_a_sign_in_that_was_not_begun_here_comes_to_nothing(signed):
    service, _ = signed
    code, detail = refused(service, "POST", "/sign-in", {"code": "made-up", "code_verifier": "x" * 43, "redirect_uri": service.url + "/"})
    assert code == 403 and "invalid_grant" in detail
    assert refused(service, "POST", "/sign-in", {"code": "a" * 20_000, "code_verifier": "x", "redirect_uri": "x"})[0] == 413
