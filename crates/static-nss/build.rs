//! Compiles `lookups.c` for static programs with glibc, and nothing for others.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=src/lookups.c");
    let target_has = |variable: &str, wanted: &str| {
        env::var(variable).is_ok_and(|values| values.split(',').any(|value| value == wanted))
    };
    if target_has("CARGO_CFG_TARGET_ENV", "gnu") && target_has("CARGO_CFG_TARGET_FEATURE", "crt-static") {
        // Nothing calls what is in it, so the linker would leave it out.
        cc::Build::new().file("src/lookups.c").link_lib_modifier("+whole-archive").compile("slamon_lookups");
    }
}
