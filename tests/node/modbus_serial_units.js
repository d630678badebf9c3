// node modbus_serial_units.js PORT SECONDS SCRATCH UNIT...: a master that reads and writes units of lines, and the map (unit 100), all the time.
// Register i of unit u holds 1000 * u + i, except SCRATCH, which is this master's own in each unit; on the map, tag i of the k-th unit
// is at 100 * k + i, and its last one, 10, is this master's to write. Prints {reads, writes, wrong} as JSON.
const ModbusRTU = require("modbus-serial");

const MAP = 100, READ_TAGS = 10;

async function readFixed(c, seen, unit, base, value, from, count) {
  c.setID(unit);
  const got = (await c.readHoldingRegisters(base + from, count)).data;
  seen.reads++;
  for (let i = 0; i < count; i++)
    if (got[i] !== value + from + i) seen.wrong.push([unit, base + from + i, got[i]]);
}

async function writeAndRead(c, seen, unit, address, value) {
  c.setID(unit);
  await c.writeRegister(address, value);
  const got = (await c.readHoldingRegisters(address, 1)).data[0];
  seen.writes++;
  if (got !== value) seen.wrong.push([unit, address, got, value]);
}

async function main(port, seconds, scratch, units) {
  const c = new ModbusRTU(), seen = { reads: 0, writes: 0, wrong: [] };
  await c.connectTCP("127.0.0.1", { port });
  c.setTimeout(5000);
  const end = Date.now() + seconds * 1000;
  for (let n = 0; Date.now() < end; n++) {
    const k = n % units.length, unit = units[k];
    await readFixed(c, seen, unit, 0, 1000 * unit, 20 + (n % 30), 1 + (n % 20));
    await writeAndRead(c, seen, unit, scratch, n % 60000);
    await readFixed(c, seen, MAP, 100 * k, 1000 * unit, n % 5, 1 + (n % 5));
    c.setID(MAP);
    await c.writeRegister(100 * k + READ_TAGS, n % 500);
    seen.writes++;
  }
  c.close(() => {});
  console.log(JSON.stringify(seen));
}

const [port, seconds, scratch, ...units] = process.argv.slice(2).map(Number);
main(port, seconds, scratch, units).then(() => process.exit(0), (e) => { console.error(e); process.exit(1); });
