//! What is the most that this processor can do, in PBKDF2 with many passwords at once?
//!
//! 1. Cycles that single instructions and mixes of them take, in loops of independent ones. The clock is that of a chain of
//!    dependent additions, one a cycle, timed before and after each loop.
//! 2. The vector instructions of one compression of SHA-256, counted in this program's own machine code and in the kernel
//!    that PoCL has compiled for hashcat (once `benches/hashcat.sh` has run). Needs `objdump`.
//! 3. What follows: the fewest cycles of an iteration, what the lanes take, and what hashcat can at most do.
//!
//! Pin the run to one core. `HASHCAT` may say what hashcat does here, in million iterations a second; `benches/hashcat.sh`
//! measures that and runs this bench behind it.
#![allow(unsafe_code, reason = "the instructions that are timed stand in assembly")]
#![cfg_attr(not(target_arch = "x86_64"), allow(unused))]

#[cfg(target_arch = "x86_64")]
fn main() {
    x86::main();
}

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    eprintln!("SKIPPED: the loops are written for x86-64");
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::{asm, is_x86_feature_detected};
    use std::collections::BTreeMap;
    use std::hint::black_box;
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::time::Instant;

    use countersign::dictionary::lanes::{Prf, kernel, kernels, pbkdf2_many_on};

    /// Lanes of 32 bits in a register of 512.
    const LANES: f64 = 16.0;
    const ITERATIONS: u32 = 4096;
    /// How often a loop runs; some hundred microseconds.
    const TURNS: u64 = 20_000;
    const ROUNDS: usize = 31;

    pub(super) fn main() {
        let clock = Clock::measured();
        println!("clock: {:.2} GHz", clock.0 / 1e9);
        println!("\n{:<66} {:>7}", "in one turn of a loop", "cycles");
        if !is_x86_feature_detected!("avx512vl") || !is_x86_feature_detected!("sha") {
            eprintln!("SKIPPED: this processor has no AVX-512 or no SHA extensions");
            return;
        }
        loops();
        let ours = count(&std::env::current_exe().expect("a path"), "avx512::sha256::output>:");
        let Some(ours) = ours else {
            eprintln!("SKIPPED: objdump is not there, or the functions have no names");
            return;
        };
        println!("\nvector instructions that calculate, in one compression of SHA-256 in all lanes:");
        let least = ours.print("countersign");
        let (best, each) = lanes(&clock);
        println!(
            "lanes on {}: {best:.1} million iterations a second, {each:.1} cycles for each password",
            kernel(Prf::HmacSha256)
        );
        report("countersign", least, &clock, Some(best));
        let theirs = hashcat_kernel().and_then(|path| count(&path, "sha256_transform_vector>:"));
        let Some(theirs) = theirs else {
            eprintln!("hashcat's kernel is not there: run benches/hashcat.sh first");
            return;
        };
        let needed = theirs.print("hashcat");
        let measured = std::env::var("HASHCAT").ok().and_then(|rate| rate.parse::<f64>().ok());
        report("hashcat", needed, &clock, measured);
        println!(
            "with both at that limit the ratio is {:.2}; with hashcat where it is, no code with as few instructions as ours is above {}",
            needed / least,
            measured
                .map_or("(say HASHCAT=…)".to_owned(), |rate| format!("{:.2}", limit(least, &clock) / rate)),
        );
    }

    /// Million iterations a second when two instructions start each cycle; an iteration is two compressions.
    fn limit(instructions: f64, clock: &Clock) -> f64 {
        clock.0 / 1e6 / (2.0 * instructions / 2.0 / LANES)
    }

    fn report(who: &str, instructions: f64, clock: &Clock, measured: Option<f64>) {
        let most = limit(instructions, clock);
        print!(
            "{who}: {:.1} cycles an iteration for each password at least, {most:.1} million a second at most",
            instructions / LANES
        );
        match measured {
            Some(rate) => println!("; {rate:.1} measured, {:.0} %", 100.0 * rate / most),
            None => println!(),
        }
    }

    /// Cycles a second.
    struct Clock(f64);

    impl Clock {
        /// The best of many short runs: an interruption only makes one longer.
        fn measured() -> Self {
            let times = (0..ROUNDS).map(|_| chain());
            Self(times.fold(0.0, f64::max))
        }
    }

    /// Dependent additions a second.
    fn chain() -> f64 {
        const ADDITIONS: u64 = 100;
        let start = Instant::now();
        // SAFETY: registers alone are changed, and all of them are named.
        unsafe {
            asm!(
                "2:",
                ".rept 100",
                "add {sum}, {one}",
                ".endr",
                "dec {turns}",
                "jnz 2b",
                sum = inout(reg) 0_u64 => _,
                one = in(reg) 1_u64,
                turns = inout(reg) TURNS => _,
                options(nomem, nostack),
            );
        }
        (ADDITIONS * TURNS) as f64 / start.elapsed().as_secs_f64()
    }

    /// Prints the cycles of one turn, the median of runs of which each has its own clock.
    fn print(what: &str, turn: unsafe fn()) {
        let mut cycles = (0..ROUNDS).map(|_| {
            let before = chain();
            let start = Instant::now();
            // SAFETY: `main` asked for the features.
            unsafe { turn() };
            let time = start.elapsed().as_secs_f64() / TURNS as f64;
            time * f64::midpoint(before, chain())
        });
        let mut cycles = cycles.by_ref().collect::<Vec<_>>();
        cycles.sort_by(f64::total_cmp);
        println!("{what:<66} {:>7.2}", cycles[ROUNDS / 2]);
    }

    /// A function that runs the lines [`TURNS`] times. The vector registers 0 to 23 change.
    macro_rules! turns {
        ($name:ident, $($line:literal)*) => {
            #[target_feature(enable = "avx512f,avx512vl,sha,sse4.1,bmi2")]
            unsafe fn $name() {
                // SAFETY: registers alone are changed, and all of them are named; the caller asked for the features.
                unsafe {
                    asm!(
                        "2:",
                        $($line,)*
                        "dec {turns}",
                        "jnz 2b",
                        turns = inout(reg) TURNS => _,
                        out("rax") _, out("rcx") _, out("rdx") _, out("rsi") _, out("rdi") _, out("r8") _,
                        out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _,
                        out("zmm4") _, out("zmm5") _, out("zmm6") _, out("zmm7") _,
                        out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
                        out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _,
                        out("zmm16") _, out("zmm17") _, out("zmm18") _, out("zmm19") _,
                        out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _,
                        options(nomem, nostack),
                    );
                }
            }
        };
    }

    /// The line for each of twelve registers, none of which waits for another.
    macro_rules! twelve {
        ($name:ident, $($line:literal)*) => {
            turns!($name, ".irp r,0,1,2,3,4,5,6,7,8,9,10,11" $($line)* ".endr");
        };
    }

    twelve!(add512, "vpaddd zmm\\r, zmm\\r, zmm15");
    twelve!(rotate512, "vprold zmm\\r, zmm\\r, 7");
    twelve!(ternary512, "vpternlogd zmm\\r, zmm14, zmm15, 0x96");
    // As compiled code has it, because the first operand is overwritten.
    twelve!(copied512, "vmovdqa64 zmm13, zmm\\r" "vpternlogd zmm13, zmm14, zmm15, 0x96");
    twelve!(add256, "vpaddd ymm\\r, ymm\\r, ymm15");
    twelve!(rotate256, "vprold ymm\\r, ymm\\r, 7");
    twelve!(ternary256, "vpternlogd ymm\\r, ymm14, ymm15, 0x96");
    // About the kernel's mix: twelve additions, twelve rotations or shifts, eight ternaries.
    turns!(mix512,
        ".irp r,0,1,2,3,4,5,6,7" "vpaddd zmm\\r, zmm\\r, zmm15" "vprold zmm\\r, zmm\\r, 7" "vpternlogd zmm\\r, zmm14, zmm15, 0x96" ".endr"
        ".irp r,8,9,10,11" "vpaddd zmm\\r, zmm\\r, zmm15" "vprold zmm\\r, zmm\\r, 7" ".endr");
    turns!(mix256,
        ".irp r,0,1,2,3,4,5,6,7" "vpaddd ymm\\r, ymm\\r, ymm15" "vprold ymm\\r, ymm\\r, 7" "vpternlogd ymm\\r, ymm14, ymm15, 0x96" ".endr"
        ".irp r,8,9,10,11" "vpaddd ymm\\r, ymm\\r, ymm15" "vprold ymm\\r, ymm\\r, 7" ".endr");
    turns!(rounds_x1, "vzeroupper" ".rept 12" "sha256rnds2 xmm1, xmm2" ".endr");
    turns!(rounds_x2, "vzeroupper" ".rept 6" ".irp r,1,2" "sha256rnds2 xmm\\r, xmm3" ".endr" ".endr");
    turns!(rounds_x3, "vzeroupper" ".rept 4" ".irp r,1,2,3" "sha256rnds2 xmm\\r, xmm4" ".endr" ".endr");
    turns!(rounds_x4, "vzeroupper" ".rept 3" ".irp r,1,2,3,4" "sha256rnds2 xmm\\r, xmm5" ".endr" ".endr");
    // SHA instructions know the old encoding alone, and wait for registers 0 to 15 whose upper halves are in use.
    turns!(additions_with_rounds,
        "vzeroupper"
        ".irp r,16,17,18,19,20,21,22,23" "vpaddd zmm\\r, zmm\\r, zmm24" ".endr" "sha256rnds2 xmm1, xmm4"
        ".irp r,16,17,18,19,20,21,22,23" "vpaddd zmm\\r, zmm\\r, zmm24" ".endr" "sha256rnds2 xmm2, xmm4"
        ".irp r,16,17,18,19,20,21,22,23" "vpaddd zmm\\r, zmm\\r, zmm24" ".endr" "sha256rnds2 xmm3, xmm4");
    turns!(additions_with_more_rounds,
        "vzeroupper"
        ".irp r,16,17,18,19" "vpaddd zmm\\r, zmm\\r, zmm24" ".endr" "sha256rnds2 xmm1, xmm4"
        ".irp r,20,21,22,23" "vpaddd zmm\\r, zmm\\r, zmm24" ".endr" "sha256rnds2 xmm2, xmm4"
        ".irp r,16,17,18,19" "vpaddd zmm\\r, zmm\\r, zmm24" ".endr" "sha256rnds2 xmm3, xmm4"
        ".irp r,20,21,22,23" "vpaddd zmm\\r, zmm\\r, zmm24" ".endr" "sha256rnds2 xmm1, xmm4"
        ".irp r,16,17,18,19" "vpaddd zmm\\r, zmm\\r, zmm24" ".endr" "sha256rnds2 xmm2, xmm4"
        ".irp r,20,21,22,23" "vpaddd zmm\\r, zmm\\r, zmm24" ".endr" "sha256rnds2 xmm3, xmm4");
    turns!(additions_with_small_ones,
        "vzeroupper"
        ".rept 2"
        ".irp r,16,17,18,19,20,21" "vpaddd zmm\\r, zmm\\r, zmm24" "vpaddd zmm\\r, zmm\\r, zmm25" "paddd xmm1, xmm4" ".endr"
        ".endr");
    turns!(additions_alone,
        ".rept 3" ".irp r,4,5,6,7,8,9,10,11" "vpaddd zmm\\r, zmm\\r, zmm15" ".endr" ".endr");
    turns!(additions_with_3_scalars,
        ".irp r,4,6,8" "vpaddd zmm\\r, zmm\\r, zmm15" "rorx eax, ecx, 7" "vpaddd zmm\\r, zmm\\r, zmm15" ".endr"
        ".irp r,5,7,9" "vpaddd zmm\\r, zmm\\r, zmm15" "vpaddd zmm10, zmm\\r, zmm15" ".endr"
        ".irp r,4,5,6,7,8,9" "vpaddd zmm\\r, zmm\\r, zmm15" "vpaddd zmm11, zmm\\r, zmm15" ".endr");
    turns!(additions_with_12_scalars,
        ".irp r,4,5,6,7,8,9" "vpaddd zmm\\r, zmm\\r, zmm15" "rorx eax, ecx, 7" "vpaddd zmm10, zmm\\r, zmm15" ".endr"
        ".irp r,4,5,6,7,8,9" "vpaddd zmm\\r, zmm\\r, zmm15" "rorx edx, ecx, 7" "vpaddd zmm11, zmm\\r, zmm15" ".endr");
    turns!(additions_with_24_scalars,
        ".irp r,4,5,6,7,8,9" "vpaddd zmm\\r, zmm\\r, zmm15" "rorx eax, ecx, 7" "vpaddd zmm10, zmm\\r, zmm15" "rorx esi, edi, 7" ".endr"
        ".irp r,4,5,6,7,8,9" "vpaddd zmm\\r, zmm\\r, zmm15" "rorx edx, ecx, 7" "vpaddd zmm11, zmm\\r, zmm15" "rorx r8d, edi, 7" ".endr");

    fn loops() {
        print("12 additions of 512 bits", add512);
        print("12 rotations of 512 bits", rotate512);
        print("12 functions of three operands of 512 bits", ternary512);
        print("12 functions of three operands of 512 bits, each on a copy", copied512);
        print("32 in about the kernel's proportion, 512 bits", mix512);
        print("12 additions of 256 bits", add256);
        print("12 rotations of 256 bits", rotate256);
        print("12 functions of three operands of 256 bits", ternary256);
        print("32 in about the kernel's proportion, 256 bits", mix256);
        print("12 sha256rnds2, one chain", rounds_x1);
        print("12 sha256rnds2, two chains", rounds_x2);
        print("12 sha256rnds2, three chains", rounds_x3);
        print("12 sha256rnds2, four chains", rounds_x4);
        print("24 additions of 512 bits", additions_alone);
        print("24 additions of 512 bits and 3 sha256rnds2", additions_with_rounds);
        print("24 additions of 512 bits and 6 sha256rnds2", additions_with_more_rounds);
        print("24 additions of 512 bits and 12 of 128 bits", additions_with_small_ones);
        print("24 additions of 512 bits and 3 scalar rotations", additions_with_3_scalars);
        print("24 additions of 512 bits and 12 scalar rotations", additions_with_12_scalars);
        print("24 additions of 512 bits and 24 scalar rotations", additions_with_24_scalars);
    }

    /// What the lanes do with all of them full: million iterations a second, and cycles of an iteration for a password.
    fn lanes(clock: &Clock) -> (f64, f64) {
        let name = kernel(Prf::HmacSha256);
        let (_, lanes) =
            kernels(Prf::HmacSha256).into_iter().find(|(known, _)| *known == name).expect("it is one");
        let passwords = (0..lanes).map(|i| format!("password{i}")).collect::<Vec<_>>();
        let passwords = passwords.iter().map(String::as_bytes).collect::<Vec<_>>();
        let mut out = Vec::new();
        let mut times = (0..ROUNDS).map(|_| {
            let start = Instant::now();
            pbkdf2_many_on(name, Prf::HmacSha256, black_box(&passwords), b"salt", ITERATIONS, &mut out);
            start.elapsed().as_secs_f64()
        });
        let mut times = times.by_ref().collect::<Vec<_>>();
        times.sort_by(f64::total_cmp);
        let rate = (lanes as u32 * ITERATIONS) as f64 / times[ROUNDS / 2];
        (rate / 1e6, clock.0 / rate)
    }

    /// How often each instruction runs in a call of a function.
    struct Count(BTreeMap<String, u64>);

    impl Count {
        /// The sum. What only moves is no part of it: it needs none of the two ports.
        fn print(&self, who: &str) -> f64 {
            let counted = self.0.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>();
            let sum = self.0.values().sum::<u64>();
            println!("{who}: {sum} ({})", counted.join(", "));
            sum as f64
        }
    }

    /// Counts in the machine code of a function, whose name ends so.
    ///
    /// A loop inside it counts three times: the only one there is is that of hashcat, over the rounds 16 to 63 in
    /// sixteens.
    fn count(path: &Path, function: &str) -> Option<Count> {
        const CALCULATE: [&str; 6] = ["vpaddd", "vprold", "vprord", "vpsrld", "vpternlogd", "vpxord"];
        const TURNS_OF_A_LOOP: u64 = 3;
        let output =
            Command::new("objdump").args(["-d", "-C", "--no-show-raw-insn"]).arg(path).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text.lines().skip_while(|line| !line.ends_with(function)).skip(1);
        let lines = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
            let (address, rest) = line.trim().split_once(':')?;
            let mut words = rest.split_whitespace();
            let address = u64::from_str_radix(address, 16).ok()?;
            Some((address, words.next()?.to_owned(), words.next().unwrap_or_default().to_owned()))
        });
        let lines = lines.collect::<Vec<_>>();
        let loops = lines.iter().filter_map(|(from, name, operand)| {
            let to = u64::from_str_radix(operand, 16).ok().filter(|to| name.starts_with('j') && to < from)?;
            Some(to..=*from)
        });
        let loops = loops.collect::<Vec<_>>();
        let mut counts = BTreeMap::new();
        for (address, name, operands) in &lines {
            if CALCULATE.contains(&&name[..]) && operands.contains("zmm") {
                let inside = loops.iter().any(|part| part.contains(address));
                *counts.entry(name.clone()).or_insert(0) += if inside { TURNS_OF_A_LOOP } else { 1 };
            }
        }
        (!counts.is_empty()).then_some(Count(counts))
    }

    /// Where `benches/hashcat.sh` lets PoCL keep the kernel of mode 28600.
    fn hashcat_kernel() -> Option<PathBuf> {
        let usual = || Some(Path::new(&std::env::var_os("HOME")?).join(".cache/countersign-hashcat/pocl"));
        find(&std::env::var_os("POCL_CACHE_DIR").map(PathBuf::from).or_else(usual)?)
    }

    fn find(folder: &Path) -> Option<PathBuf> {
        std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).find_map(|path| {
            if path.is_dir() { find(&path) } else { path.ends_with("0-0-0/m28600_loop.so").then_some(path) }
        })
    }
}
