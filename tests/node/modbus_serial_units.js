// node modbus_serial_units.js PORT SECONDS ME UNIT...: a master that reads and writes units of lines, and the map (unit 100), all the time.
// Register i of unit u holds 1000 * u + i, except 150 + ME, which is this master's own in each unit; on the map, tag i of the k-th unit
// is at 100 * k + i, and 10 + ME is this master's to write. Prints {reads, writes, unanswered, wrong} as JSON; unanswered: exception 11.
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

async function writeMap(c, seen, address, value) {
  c.setID(MAP);
  await c.writeRegister(address, value);
  seen.writes++;
}

// An answer that the device did not give is none that is wrong.
async function attempt(seen, work) {
  try {
    await work();
  } catch (e) {
    if (e.modbusCode !== 11) throw e;
    seen.unanswered++;
  }
}

async function main(port, seconds, me, units) {
  const c = new ModbusRTU(), seen = { reads: 0, writes: 0, unanswered: 0, wrong: [] };
  await c.connectTCP("127.0.0.1", { port });
  c.setTimeout(5000);
  const end = Date.now() + seconds * 1000;
  for (let n = 0; Date.now() < end; n++) {
    const k = n % units.length, unit = units[k];
    await attempt(seen, () => readFixed(c, seen, unit, 0, 1000 * unit, 20 + (n % 30), 1 + (n % 20)));
    await attempt(seen, () => writeAndRead(c, seen, unit, 150 + me, n % 60000));
    await attempt(seen, () => readFixed(c, seen, MAP, 100 * k, 1000 * unit, n % 5, 1 + (n % 5)));
    await attempt(seen, () => writeMap(c, seen, 100 * k + READ_TAGS + me, n % 500));
  }
  c.close(() => {});
  console.log(JSON.stringify(seen));
}

const [port, seconds, me, ...units] = process.argv.slice(2).map(Number);
main(port, seconds, me, units).then(() => process.exit(0), (e) => { console.error(e); process.exit(1); });
