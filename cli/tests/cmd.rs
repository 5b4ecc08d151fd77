//! Golden runs: arguments in, streams and exit code out. `TRYCMD=overwrite cargo test` rewrites them; read the
//! difference before committing it.

#[test]
fn golden_runs() {
    // A reader's terminal or settings must not change what the tool prints here.
    trycmd::TestCases::new().env("NO_COLOR", "1").env("COLUMNS", "100").case("tests/cmd/*.toml");
}
