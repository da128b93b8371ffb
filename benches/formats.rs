//! What it costs to derive one format from the other: a list of machines of 200 KiB, one thread.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tollgate::transcode::{
    json,
    learned::{Map, learn, to_json, to_xml},
    tree::Bounds,
    xml::{self, Mixed},
};

const SIZE: usize = 200 << 10;

const JSON: &str = r#"{"virtual_machine":{"add_to_marketplace":null,"admin_note":null,"allowed_swap":true,"booted":true,"built":true,"cpu_shares":10,"cpus":2,"created_at":"2016-12-20T16:19:39.000Z","hostname":"web-1.example.com","hypervisor_id":3,"id":12,"identifier":"qwertyuiopasdf","initial_root_password":"********","ip_addresses":[{"ip_address":{"address":"10.0.0.7","broadcast":"10.0.0.255","free":false,"id":7,"netmask":"255.255.255.0"}}],"label":"web \u0026 mail","memory":2048,"operating_system":"linux","price_per_hour":"0.0275","price_per_hour_powered_off":0.0205,"template_label":"Debian 12 x64","updated_at":"2016-12-21T08:00:00.000Z","user_id":4}}"#;

const XML: &str = "  <virtual_machine>
    <add_to_marketplace nil=\"true\"/>
    <admin_note nil=\"true\"/>
    <allowed_swap type=\"boolean\">true</allowed_swap>
    <booted type=\"boolean\">true</booted>
    <built type=\"boolean\">true</built>
    <cpu_shares type=\"integer\">10</cpu_shares>
    <cpus type=\"integer\">2</cpus>
    <created_at type=\"dateTime\">2016-12-20T16:19:39Z</created_at>
    <hostname>web-1.example.com</hostname>
    <hypervisor_id type=\"integer\">3</hypervisor_id>
    <id type=\"integer\">12</id>
    <identifier>qwertyuiopasdf</identifier>
    <initial_root_password>********</initial_root_password>
    <ip_addresses type=\"array\">
      <ip_address>
        <address>10.0.0.7</address>
        <broadcast>10.0.0.255</broadcast>
        <free type=\"boolean\">false</free>
        <id type=\"integer\">7</id>
        <netmask>255.255.255.0</netmask>
      </ip_address>
    </ip_addresses>
    <label>web &amp; mail</label>
    <memory type=\"integer\">2048</memory>
    <operating_system>linux</operating_system>
    <price_per_hour type=\"decimal\">0.0275</price_per_hour>
    <price_per_hour_powered_off type=\"float\">0.0205</price_per_hour_powered_off>
    <template_label>Debian 12 x64</template_label>
    <updated_at type=\"dateTime\">2016-12-21T08:00:00Z</updated_at>
    <user_id type=\"integer\">4</user_id>
  </virtual_machine>
";

fn xml_of(map: &Map, text: &str) -> String {
    let tree = json::read(text.as_bytes(), Bounds::REPLY).expect("JSON");
    to_xml(map, &tree, text.len()).expect("it fits")
}

fn json_of(map: &Map, text: &str) -> String {
    let tree = xml::read(text.as_bytes(), Mixed::Never, Bounds::REPLY).expect("XML");
    to_json(map, &tree, text.len()).expect("it fits")
}

fn formats(criterion: &mut Criterion) {
    let document = format!(
        "{}<virtual_machines type=\"array\">\n{XML}</virtual_machines>\n",
        xml::DECLARATION
    );
    let one = format!("[{JSON}]");
    let mut map = Map::new();
    let json_tree = json::read(one.as_bytes(), Bounds::REPLY).expect("JSON");
    let xml_tree = xml::read(document.as_bytes(), Mixed::Never, Bounds::REPLY).expect("XML");
    learn(&mut map, &json_tree, &xml_tree).expect("a pair");

    let machines = |each: usize| vec![JSON; SIZE / each].join(",");
    let json = format!("[{}]", machines(JSON.len()));
    let xml = xml_of(&map, &format!("[{}]", machines(XML.len())));
    assert_eq!(json_of(&map, &xml_of(&map, &json)), json);
    let mut group = criterion.benchmark_group("formats/200KiB");
    group.throughput(Throughput::Bytes(json.len() as u64));
    group.bench_function("JSON to XML", |b| b.iter(|| xml_of(&map, black_box(&json))));
    group.throughput(Throughput::Bytes(xml.len() as u64));
    group.bench_function("XML to JSON", |b| b.iter(|| json_of(&map, black_box(&xml))));
    group.finish();
}

criterion_group!(benches, formats);
criterion_main!(benches);
