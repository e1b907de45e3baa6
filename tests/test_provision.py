"""Where the servers of tests come from: docker-compose.yml reaches Docker, and no Docker is no error."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import containers, provision
from tests.servers.containers import described, docker_answers


@pytest.fixture(autouse=True)
def no_docker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    docker_answers.cache_clear()
    yield
    docker_answers.cache_clear()


@pytest.mark.parametrize("name", ["redis", "memcached", "postgres", "mongo"])
def test_every_service_can_be_run_and_says_when_it_is_up(name: str) -> None:
    service = described(name, {f"ASYNCCACHE_TEST_{name.upper()}_PORT": "7777"})

    assert service.image.partition(":")[2], "a floating tag"
    assert service.outside == 7777
    assert service.healthcheck["test"][0] in {"CMD", "CMD-SHELL"}
    assert 0 < service.healthcheck["interval"] <= 2_000_000_000
    assert service.healthcheck["retries"] >= 30


def test_defaults_stand_where_nothing_is_set() -> None:
    assert (described("redis", {}).outside, described("redis", {}).inside) == (6379, 6379)
    assert (described("postgres", {}).outside, described("postgres", {}).inside) == (5432, 5432)


def test_redis_keeps_nothing_and_postgres_has_a_user() -> None:
    assert described("redis", {}).command == ["redis-server", "--save", "", "--appendonly", "no"]
    assert described("postgres", {}).environment["POSTGRES_USER"] == "asynccache"
    assert described("postgres", {}).tmpfs == ["/var/lib/postgresql/data"]


def test_a_replica_set_knows_its_member_by_the_port_it_is_reached_at() -> None:
    mongo = described("mongo", {"ASYNCCACHE_TEST_MONGO_PORT": "7777"})

    assert (mongo.inside, mongo.outside) == (7777, 7777)
    assert mongo.command is not None
    assert "--port=7777" in mongo.command
    assert "--replSet=rs0" in mongo.command
    assert "localhost:7777" in mongo.healthcheck["test"][-1]
    assert "27017" not in str(mongo)


def test_where_no_engine_runs_docker_does_not_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(containers, "_SOCKET", tmp_path / "none.sock")
    assert docker_answers() is False

    docker_answers.cache_clear()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert docker_answers() is False


def test_a_url_in_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCCACHE_TEST_REDIS_URL", "redis://elsewhere")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")

    with provision.provided("redis", at=str, url="", start=pytest.fail, programs=()) as server:
        assert server == "redis://elsewhere"


def test_a_missing_server_skips_and_in_ci_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("ASYNCCACHE_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(provision, "docker_answers", lambda: False)

    def ask() -> None:
        with provision.provided("redis", at=str, url="", start=pytest.fail, programs=("no-such-server",)):
            pytest.fail("there is no such server")

    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="install no-such-server"):
        ask()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="ASYNCCACHE_TEST_REDIS_URL"):
        ask()
