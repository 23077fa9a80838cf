"""The page in Debian's chromium, used as a visitor uses it."""

import json
import os
import re
import shutil
import signal
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import cv2
import httpx
import numpy as np
import pytest
from made_media import make_wav
from serving import EXAMPLES, Served, ended

from mdth.media.audio import read_blocks
from mdth.media.video import read_frames

sync_api = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
    pytest.mark.slow,
]

Browser, Page, expect = sync_api.Browser, sync_api.Page, sync_api.expect
PAGE = Path(__file__).parents[2] / "src/mdth/serve/page"
AXE = Path(axe.__file__).with_name("axe.min.js")
WAIT_MS = 60_000
SPEECH = EXAMPLES / "short.wav"
PLAYED = """v => ({frames: v.getVideoPlaybackQuality().totalVideoFrames,
    sound: v.webkitAudioDecodedByteCount})"""
# Plays from the start until a time and stops; the times of the video and of its original when these
# are the same, or after a while.
BESIDE = """(v, until) => new Promise(done => {
    const times = () => ['video', 'original'].map(id => document.getElementById(id).currentTime);
    let left = 300;
    v.currentTime = 0;
    v.play();
    const timer = setInterval(() => {
        if (v.currentTime > until) v.pause();
        const [one, other] = times();
        if (v.paused && (Math.abs(one - other) < 0.05 || !--left)) {
            clearInterval(timer);
            done(times());
        } }, 100); })"""
# The loudest sample of three seconds of what is heard by WebRTC, of which no bytes are counted.
LOUDEST = """v => new Promise(done => {
    const context = new AudioContext(), analyser = context.createAnalyser();
    context.createMediaStreamSource(v.srcObject).connect(analyser);
    const block = new Float32Array(analyser.fftSize);
    let loudest = 0;
    const timer = setInterval(() => {
        analyser.getFloatTimeDomainData(block);
        loudest = Math.max(loudest, ...block);
    }, 30);
    setTimeout(() => { clearInterval(timer); context.close(); done(loudest); }, 3000); })"""
# Files as a drop brings them.
DROP = """files => { const all = new DataTransfer();
    for (const [name, type, bytes] of files)
        all.items.add(new File([Uint8Array.from(atob(bytes), c => c.charCodeAt(0))], name, {type}));
    document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: all, bubbles: true})); }"""


@pytest.fixture(scope="module")
def server(serve: Callable[..., Served]) -> Served:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = str(free.getsockname()[1])
    flags = ("--workers", "1", "--max-upload-mb", "1", "--port", port, "--webrtc")
    return serve(*flags, keys=False, hasty={"queue.LEASE_S": 6})


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=WAIT_MS)
    fakes = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    sound = f"--use-file-for-fake-audio-capture={SPEECH}"
    flags = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", *fakes, sound]
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, server: Served) -> Iterator[Page]:
    """The page, opened; at the end nothing went wrong in it and nobody else was asked."""
    context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 900})
    opened, wrong = context.new_page(), list[str]()
    opened.set_default_timeout(WAIT_MS)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda told: "Security Policy" in told.text and wrong.append(told.text))
    own = (server.url.rstrip("/"), "blob:", "data:")
    opened.on("request", lambda asked: asked.url.startswith(own) or wrong.append(asked.url))
    opened.goto(server.url)
    expect(opened.locator("body[data-ready]")).to_be_attached()
    yield opened
    context.close()
    assert not wrong


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """[200,160,3] BGR: the portrait, small."""
    whole = cv2.imread(str(EXAMPLES / "grace_hopper.jpg"))
    return np.asarray(cv2.resize(whole[40:540, 56:456], (160, 200), interpolation=cv2.INTER_AREA))


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of speech."""
    sound = np.concatenate(list(read_blocks(SPEECH)))[:16000]
    return make_wav(tmp_path_factory.mktemp("said") / "second.wav", sound)


def jpeg(picture: np.ndarray, name: str = "face.jpg") -> dict[str, Any]:
    content = bytes(cv2.imencode(".jpg", picture)[1])
    return {"name": name, "mimeType": "image/jpeg", "buffer": content}


def fill(page: Page, source: Any, speech: Any) -> None:
    page.set_input_files("#face-file", source)
    page.set_input_files("#voice-file", speech)
    expect(page.locator(".box").first).to_be_visible()
    page.check("#consent")


def accessible(page: Page) -> None:
    """axe-core finds nothing serious, in neither theme."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(f"{AXE.read_text('utf-8')}; null")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        found = page.evaluate("async () => (await axe.run()).violations")
        assert [one for one in found if one["impact"] in ("serious", "critical")] == []


def job_of(page: Page, server: Served) -> dict[str, Any]:
    """The job in the page's address, ended."""
    kind, number = re.fullmatch(r".*#(talk|dub)(_\w+)", page.url).groups()
    with httpx.Client(base_url=server.url) as client:
        return ended(client, f"/v1/{kind}s/{kind}{number}")


def test_the_words() -> None:
    """Every language has all of them, and the page has no others."""
    english, other = (json.loads((PAGE / f"{one}.json").read_text("utf-8")) for one in ("en", "de"))
    assert english.keys() == other.keys()
    fields = re.compile(r"\{\w+\}")
    for key, words in english.items():
        assert sorted(fields.findall(words)) == sorted(fields.findall(other[key])), key
    used = set(re.findall(r'data-t(?:-\w+)?="([^"]+)"', (PAGE / "index.html").read_text("utf-8")))
    assert used <= english.keys()


def test_the_chosen_face_of_two_speaks(
    page: Page, server: Served, face: np.ndarray, second: Path, tmp_path: Path
) -> None:
    accessible(page)
    fill(page, jpeg(np.hstack([face, face[:, ::-1]]), "two.jpg"), second)
    page.get_by_role("radio", name="Face 1").press("Space")
    expect(page.get_by_role("radio", name="Face 1")).to_be_checked()
    page.get_by_role("radio", name="Face 1").press("ArrowRight")
    expect(page.get_by_role("radio", name="Face 2")).to_be_checked()
    page.get_by_text("How lively?").click()
    page.get_by_role("radio", name="Lively").check()
    accessible(page)
    page.click("#make")
    expect(page.locator("#progress-words")).to_be_visible()
    expect(page.locator("#done")).to_be_visible()
    expect(page.locator("#video")).to_have_js_property("ended", True)
    with page.expect_download() as download:
        page.click("#download")
    download.value.save_as(tmp_path / "film.mp4")
    played = page.locator("#video").evaluate(PLAYED)
    with av.open(tmp_path / "film.mp4") as film:
        assert [stream.codec_context.name for stream in film.streams] == ["h264", "aac"]
    assert played["sound"] > 1000
    frames = np.stack(list(read_frames(tmp_path / "film.mp4"))).astype(float)
    assert played["frames"] == len(frames) == 30
    still, speaking = np.split(frames.std(0).mean(-1), [frames.shape[2] // 2], axis=1)
    assert speaking.mean() > 3 * still.mean()
    expect(page.locator("#jobs img")).to_have_js_property("complete", True)
    assert page.evaluate("document.querySelector('#jobs img').naturalWidth") > 100
    accessible(page)
    page.get_by_label("Language").select_option("de")
    expect(page.get_by_role("button", name="Video erstellen")).to_be_visible()


def test_a_preview_of_what_was_dropped(page: Page, server: Served, face: np.ndarray) -> None:
    picture = ("a.jpg", "image/jpeg", b64encode(jpeg(face)["buffer"]).decode())
    page.evaluate(DROP, [picture, ("b.wav", "audio/wav", b64encode(SPEECH.read_bytes()).decode())])
    expect(page.locator("#face-hint")).to_have_text("Face found.")
    page.check("#consent")
    page.get_by_text("How lively?").click()
    before = page.locator("#jobs li").count()
    page.click("#preview")
    expect(page.locator("#done-hint")).to_have_text("The first three seconds")
    assert 2.9 < job_of(page, server)["duration_s"] < 3.1
    assert page.locator("#jobs li").count() == before


GREY = np.full((200, 160, 3), 128, np.uint8)
FAULTS = [
    (("broken.jpg", "image/jpeg", b"no picture"), "face", "broken.jpg"),
    (("plain.txt", "text/plain", b"words"), "face", "neither a picture nor a clip"),
    (("grey.jpg", "image/jpeg", jpeg(GREY)["buffer"]), "face", "No face"),
    (("large.jpg", "image/jpeg", bytes(1_100_000)), "face", "1.1 MB. The most is 1.0 MB"),
    (("broken.wav", "audio/wav", b"no sound"), "voice", "broken.wav"),
]


def test_faults_are_told_where_they_are(page: Page, face: np.ndarray) -> None:
    for (name, kind, content), place, words in FAULTS:
        file = {"name": name, "mimeType": kind, "buffer": content}
        page.set_input_files(f"#{place}-file", file)
        if place == "voice":
            fill(page, jpeg(face), file)
            page.click("#make")
        expect(page.locator(f"#{place}-error")).to_contain_text(words)


def test_what_is_missing_is_told_and_a_job_is_cancelled(
    page: Page, server: Served, face: np.ndarray
) -> None:
    page.click("#make")
    for place in ("face", "voice", "consent"):
        expect(page.locator(f"#{place}-error")).not_to_be_empty()
    fill(page, jpeg(face), SPEECH)
    page.click("#make")
    expect(page).to_have_url(re.compile("#talk_"))
    page.click("#cancel")
    expect(page.locator("#stage-told")).to_have_text("Cancelled")
    assert job_of(page, server)["status"] == "cancelled"


def test_a_clip_is_dubbed_with_a_recording_beside_the_original(page: Page, server: Served) -> None:
    page.get_by_role("radio", name="Record").check()
    page.click("#record")
    expect(page.locator("#record")).to_contain_text("0:01")
    page.click("#record")
    page.set_input_files("#face-file", EXAMPLES / "clip.mp4")
    page.check("#consent")
    page.click("#make")
    expect(page.locator("#done")).to_be_visible()
    assert job_of(page, server)["object"] == "dub"
    page.click("#compare")
    lead, other = page.locator("#video").evaluate(BESIDE, 1.5)
    assert lead > 1.5 and abs(lead - other) < 0.05
    accessible(page)


def live(page: Page, face: np.ndarray, *, webrtc: bool) -> None:
    """The live tab, begun; the body has the words of its states."""
    if not webrtc:  # a browser without it falls back
        page.evaluate("delete window.RTCPeerConnection")
    page.get_by_role("link", name="Live").click()
    page.evaluate(
        """new MutationObserver(([{target}]) => document.body.dataset.states += target.textContent)
        .observe(document.getElementById("live-state"), {childList: true})"""
    )
    page.set_input_files("#face-file", jpeg(face))
    page.check("#consent")
    page.evaluate(
        """() => {
            const body = document.body.dataset, began = performance.now();
            const seen = (now) => { body.first = (now - began) / 1000; };
            document.getElementById("live-video").requestVideoFrameCallback(seen);
        }"""
    )
    page.click("#live-start")
    expect(page.locator("#live-mic")).to_be_enabled()


@pytest.mark.parametrize("webrtc", [False, True], ids=["socket", "webrtc"])
def test_the_live_avatar_says_what_the_microphone_hears(
    page: Page, face: np.ndarray, webrtc: bool
) -> None:
    live(page, face, webrtc=webrtc)
    state, video = page.locator("#live-state"), page.locator("#live-video")
    expect(state).to_have_text("Speaking")
    expect(page.locator("#live-behind")).not_to_be_empty()
    behind_s = page.locator("#live-behind").get_attribute("data-s")
    first_s = page.locator("body").get_attribute("data-first")
    print(
        f"live, webrtc {webrtc}: first frame {float(first_s):.2f} s after the button, "
        f"microphone to screen {float(behind_s):.2f} s"
    )
    assert video.evaluate("v => Boolean(v.srcObject)") == webrtc
    played = video.evaluate(PLAYED)
    assert played["frames"] > 10 and (played["sound"] > 1000 or webrtc)
    if webrtc:
        assert video.evaluate(LOUDEST) > 0.02
    page.click("#live-interrupt")
    expect(page.locator("body")).to_have_attribute("data-states", re.compile("Interrupted"))
    page.click("#live-mic")
    expect(state).to_have_text("Listening")
    accessible(page)
    page.click("#live-stop")
    expect(page.locator("#live-start")).to_be_visible()


@pytest.mark.parametrize("webrtc", [False, True], ids=["socket", "webrtc"])
def test_speaking_interrupts_a_text(page: Page, face: np.ndarray, webrtc: bool) -> None:
    if page.locator("#text").is_disabled():
        pytest.skip("the models of voices are not here")
    live(page, face, webrtc=webrtc)
    state = page.locator("#live-state")
    page.click("#live-mic")
    expect(state).to_have_text("Listening")
    page.locator("#live-text").fill("Yes. One, two, three, four, five, six.")
    page.locator("#live-text").press("Enter")
    expect(state).to_have_text("Speaking")
    page.click("#live-mic")
    expect(page.locator("body")).to_have_attribute("data-states", re.compile("Interrupted"))


def test_a_job_outlives_a_reload_and_a_killed_server(
    page: Page, server: Served, face: np.ndarray
) -> None:
    fill(page, jpeg(face), SPEECH)
    page.click("#make")
    expect(page).to_have_url(re.compile("#talk_"))
    page.reload()
    expect(page.locator("#progress-words")).to_have_text("Making the video …")
    for process in (server.process.pid, *server.children()):
        os.kill(process, signal.SIGKILL)
    server.stop()
    expect(page.locator("#progress-words")).to_contain_text("does not answer")
    # From now on a key is asked for, of the same owner: no test may follow.
    key = "local-0123456789abcdef"
    server._environment["MDTH_API_KEYS"] = f"local:{key}"
    server.start()
    expect(page.get_by_role("dialog")).to_be_visible()
    for said in ("wrong", key):
        page.get_by_label("Key").fill(said)
        page.get_by_role("button", name="Open").click()
        if said != key:
            expect(page.locator("#lock-error")).not_to_be_empty()
    expect(page.locator("#done")).to_be_visible()
    expect(page.locator("#video")).to_have_js_property("readyState", 4)
