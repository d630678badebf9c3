"""docs/conformance.md: every normative statement that binds a server has a test, and the page says which."""

import pytest

import conformance


@pytest.fixture(scope="module")
def tables():
    return {version: conformance.table(version) for version in conformance.VERSIONS}


@pytest.fixture(scope="module")
def found():
    return conformance.collect()


def test_every_statement_that_binds_a_server_has_a_test_and_every_id_is_one(tables, found):
    assert list(conformance.faults(tables, found)) == []


def test_the_page_is_up_to_date(tables, found):
    _, now, _ = conformance.split(conformance.PAGE.read_text())
    assert now == conformance.render(tables, found), "run tests/conformance.py"


def test_the_tables_are_whole(tables):
    for version, clauses in tables.items():
        for name, c in clauses.items():
            assert c.binds in ("server", "both", "client"), (version, name)
            assert bool(c.what) == (c.binds != "client"), (version, name)
    assert {v: len(c) for v, c in tables.items()} == {"3.1.1": 141, "5.0": 251}


def test_a_missing_test_and_a_wrong_id_are_seen(tables, found):
    some = {k: v for k, v in found.items() if k != ("5.0", "MQTT-3.12.4-1")} | {("5.0", f"MQTT-{9}.9.9-9"): {"here": ["test"]}}
    wrong = list(conformance.faults(tables, some))
    assert [w.split()[:2] for w in wrong] == [["5.0", "[MQTT-3.12.4-1]"], ["here:", "5.0"]]


def test_tests_in_c_are_found(tmp_path):
    path = tmp_path / "x_test.c"
    path.write_text("/* covers 5.0 [MQTT-3.1.2-1],\n * [MQTT-3.1.2-2]; 3.1.1 [MQTT-3-8.3-4] */\n"
                    "static const int x[] = {1};\n\nstatic void it_works(void **state)\n{\n}\n")
    assert list(conformance.of_c(path)) == [("it_works", "5.0", "MQTT-3.1.2-1"), ("it_works", "5.0", "MQTT-3.1.2-2"),
                                            ("it_works", "3.1.1", "MQTT-3-8.3-4")]
