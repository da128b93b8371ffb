"""Does with apache-libcloud what its users do: HOST PORT LOGIN CA_FILE [list], the token on stdin.

With `list` it only lists machines."""
import json
import sys
import time

import libcloud.security
from libcloud.compute.providers import get_driver
from libcloud.compute.types import Provider

host, port, login, authority = sys.argv[1:5]
libcloud.security.CA_CERTS_PATH = authority
driver = get_driver(Provider.ONAPP)(
    login, sys.stdin.readline().strip(), host=host, port=int(port), secure=True
)


def names():
    return sorted(node.name for node in driver.list_nodes())


def key_names():
    return sorted(key.name for key in driver.list_key_pairs())


if sys.argv[5:] == ["list"]:
    print(json.dumps({"machines": names()}))
    sys.exit()

report = {"before": names(), "again": names()}
report["images"] = sorted(image.name for image in driver.list_images())
node = driver.create_node(
    name="from-libcloud",
    ex_hostname="from-libcloud",
    ex_memory=512,
    ex_cpus=1,
    ex_cpu_shares=10,
    ex_primary_disk_size=5,
    ex_swap_disk_size=1,
    ex_template_id=driver.list_images()[0].id,
)
report["created"] = {"name": node.name, "id": str(node.id)}
report["with_it"] = names()
assert driver.destroy_node(node) is True
report["without_it"] = names()

keys = key_names()
key = driver.import_key_pair_from_string("laptop", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC9 me@laptop")
report["keys"] = [len(keys), len(key_names())]
assert driver.get_key_pair(key.name).public_key == key.public_key
assert driver.delete_key_pair(key) is True
report["keys"].append(len(key_names()))
print(json.dumps(report))
