//! What the last look at a reply costs: 1 MiB of JSON without matches, many keys, one thread.

use std::{hint::black_box, sync::Arc};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tollgate::transcode::disclosure::{Needles, Scanner, Secret};

const SIZE: usize = 1 << 20;

const JSON: &str = r#"{"virtual_machine":{"booted":true,"cpus":2,"created_at":"2016-12-20T16:19:39.000Z","hostname":"web-1.example.com","id":12,"identifier":"qwertyuiopasdf","label":"web \u0026 mail","memory":2048}},"#;

fn disclosure(criterion: &mut Criterion) {
    let body = Bytes::from(JSON.repeat(SIZE / JSON.len()));
    let mut group = criterion.benchmark_group("disclosure");
    for count in [100, 10_000] {
        let keys = keys(count);
        let secrets = || keys.iter().map(|(login, secret)| Secret { login, secret });
        let needles = Arc::new(Needles::new(secrets()));
        group.sample_size(10);
        group.bench_function(format!("compile/{count} keys"), |b| {
            b.iter(|| Needles::new(secrets()));
        });
        group.sample_size(50).throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("whole/{count} keys"), |b| {
            b.iter(|| needles.mask(black_box(body.clone())));
        });
        group.bench_function(format!("in pieces of 16 KiB/{count} keys"), |b| {
            b.iter(|| in_pieces(&needles, &body));
        });
    }
    group.finish();
}

fn keys(count: u128) -> Vec<(String, String)> {
    let key = |n: u128| format!("{:040x}", n.pow(3) * 0x9E37_79B9_7F4A_7C15);
    (1..=count).map(|n| (format!("user{n}@example.com"), key(n))).collect()
}

fn in_pieces(needles: &Arc<Needles>, body: &Bytes) -> Bytes {
    let mut scanner = Scanner::new(Arc::clone(needles));
    for at in (0..body.len()).step_by(16 << 10) {
        let end = body.len().min(at + (16 << 10));
        black_box(scanner.push(body.slice(at..end)));
    }
    scanner.finish()
}

criterion_group!(benches, disclosure);
criterion_main!(benches);
