//! No file hangs, uses up memory or exhausts the stack.

use std::time::{Duration, Instant};

use super::{FaultKind, read_with, value, value_of};

/// Reads a source on a stack as small as any thread's, and soon.
#[track_caller]
fn is_read(source: String) -> Result<(), String> {
    let begun = Instant::now();
    let small = std::thread::Builder::new().stack_size(2 << 20);
    let read = small.spawn(move || read_with(&source, &[("A", "a")]).map(drop)).expect("a thread");
    let outcome = read.join().expect("it does not panic");
    assert!(begun.elapsed() < Duration::from_secs(60), "it took {:?}", begun.elapsed());
    outcome
}

#[test]
fn what_lies_too_deep_is_refused_by_its_line() {
    let n = 20_000;
    let deep = |begin: &str, end: &str| format!("A = 1\nX = {}1{}\n", begin.repeat(n), end.repeat(n));
    for source in [
        deep("[", "]"),
        deep("[", ""),
        deep("(", ")"),
        deep("{1: ", "}"),
        deep("f(", ")"),
        deep("-", ""),
        deep("not ", ""),
        deep("2 ** ", ""),
        deep("1 + ", ""),
        deep("'a' + ", ""),
        deep("1 if 1 else ", ""),
        deep("lambda: ", ""),
        deep("lambda a, b: ", ""),
        deep("a.", ""),
        deep("1 and ", ""),
        deep("1 < ", ""),
        deep("await ", ""),
        deep("*", ""),
        deep("(yield ", ""),
        deep("f'{", "}'"),
        format!("A = 1\nX = 1{}\n", "()".repeat(n)),
        format!("A = 1\nX = 1{}\n", "[0]".repeat(n)),
        format!("A = 1\nX = f{}\n", "(a)[0].b".repeat(n)),
        format!("A = 1\nX = {}\n", "f'{x:".repeat(n)),
        format!("A = 1\n{}pass", (0..1000).fold(String::new(), |s, n| s + &" ".repeat(n) + "if 1:\n")),
    ] {
        let refusal = is_read(source.clone()).expect_err(&source[..40]);
        assert!(refusal.contains("nested too deeply"), "{}: {refusal}", &source[..40]);
        let at: usize = refusal.split(':').next().and_then(|at| at.parse().ok()).expect("a place");
        assert!(at >= 6, "{}: {refusal}", &source[..40]);
    }
}

#[test]
fn what_is_long_but_flat_is_read() {
    for source in [
        format!("X = [{}]\n", "1, ".repeat(4_000)),
        format!("X = {}\n", "'a' ".repeat(50_000)),
        format!("X = ({})\n", "'a'\n".repeat(50_000)),
        "X = 1\n".repeat(100_000),
        "# comment\n".repeat(100_000),
        format!("if 0:\n  pass\n{}", "elif 0:\n  pass\n".repeat(30_000)),
        (0..50_000).fold(String::new(), |source, n| source + &format!("X{n} = {n}\n")),
        "if A:\n  X = 1\nelse:\n  X = 2\n".repeat(20_000),
        "try:\n  import x\nexcept E:\n  x = 1\n".repeat(20_000),
    ] {
        assert_eq!(is_read(source), Ok(()));
    }
}

#[test]
fn what_would_take_all_memory_or_time_is_a_fault() {
    for expression in [
        "'a' * 10**9",
        "10**9 * 'a'",
        "'' * 10**30 + 'a' * 10**30",
        "9**9**9",
        "2**10**6",
        "1 << 10**9",
        "1 << 200",
        "10 ** 1000",
        &format!("0x{}", "f".repeat(1000)),
        &"9".repeat(100_000),
        "f'{1:1000000000}'",
        "f'{1:99999999999999999999}'",
        "'%1000000000d' % 1",
        "'%.1000000000f' % 1.0",
        "'{:1000000000}'.format(1)",
        "'{:.60000f}'.format(1e308) * 2",
        "'a'.replace('', 'b' * 60000).replace('', 'b' * 60000)",
        "('a' * 60000).join(['b'] + ['c', 'd', 'e'])",
        "'x'.join(('a' * 60000).split('a'))  * 60000",
    ] {
        let found = value(expression);
        assert_eq!(found, Err(FaultKind::Unreadable), "{}", &expression[..expression.len().min(60)]);
    }
}

#[test]
fn growing_by_repetition_is_a_fault_and_then_all_is() {
    for source in [
        "A = 'a'\n".to_owned() + &"A += A\n".repeat(100),
        "A = 'a' * 60000\n".to_owned()
            + &(0..20_000).fold(String::new(), |s, n| s + &format!("B{n} = A + 'b'\n"))
            + "A = B19999",
        "A = [1]\n".to_owned() + &"A = [A, A]\n".repeat(100),
        "A = [1]\n".to_owned() + &"A = [A]\n".repeat(20_000),
        "A = [1]\n".to_owned() + &"A = A + A\n".repeat(100),
        "A = (1,)\n".to_owned() + &"A += A\n".repeat(100),
        "A = {'a': 1}\n".to_owned() + &"A = {'a': A, 'b': A}\n".repeat(100),
        "B = [1]\n".to_owned() + &"B = [B, B]\n".repeat(11) + "A = B == B\n" + &"A = B == B\n".repeat(50_000),
        "A = {}\n".to_owned().replace(
            "{}",
            &format!("{{{}}}", (0..20_000).fold(String::new(), |s, n| s + &format!("{n}: 1,"))),
        ),
    ] {
        let begin = source[..40.min(source.len())].to_owned();
        let begun = Instant::now();
        let module = read_with(&source, &[]).expect(&begin);
        let fault = value_of(&module, "A").expect("it is bound").expect_err(&begin);
        assert_eq!(fault.kind, FaultKind::Unreadable, "{begin}: {fault:?}");
        assert!(begun.elapsed() < Duration::from_secs(60), "{begin} took {:?}", begun.elapsed());
    }
}
