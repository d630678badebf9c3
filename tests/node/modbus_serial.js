// node modbus_serial.js PORT SECONDS: a master that reads and writes the map (unit 1) and a device behind it (unit 2) all the time.
// Registers 300 and 301 of the device are each other's complement. Prints {reads, writes, wrong} as JSON.
const ModbusRTU = require("modbus-serial");

async function main(port, seconds) {
  const c = new ModbusRTU(), seen = { reads: 0, writes: 0, wrong: [] };
  await c.connectTCP("127.0.0.1", { port });
  c.setTimeout(3000);
  const end = Date.now() + seconds * 1000;
  for (let n = 0; Date.now() < end; n++) {
    c.setID(1);
    await c.writeRegister(0, n % 500);
    seen.writes++;
    const fixed = (await c.readHoldingRegisters(1, 1)).data[0];
    if (fixed !== 1234) seen.wrong.push(["fixed", fixed]);
    c.setID(2);
    const [a, b] = (await c.readHoldingRegisters(300, 2)).data;
    if ((a ^ b) !== 0xffff) seen.wrong.push(["pair", a, b]);
    seen.reads += 2;
  }
  c.close(() => {});
  console.log(JSON.stringify(seen));
}

main(Number(process.argv[2]), Number(process.argv[3])).then(() => process.exit(0), (e) => { console.error(e); process.exit(1); });
