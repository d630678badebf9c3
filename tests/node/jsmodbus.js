// node jsmodbus.js PORT SECONDS: a master that reads the map (unit 1) all the time. Prints as modbus_serial.js.
const { client: { TCP } } = require("jsmodbus");
const net = require("net");

function main(port, seconds) {
  const socket = new net.Socket(), map = new TCP(socket, 1), seen = { reads: 0, writes: 0, wrong: [] };
  const fail = (e) => { console.error(e); process.exit(1); };
  socket.on("error", fail);
  socket.on("connect", async () => {
    const end = Date.now() + seconds * 1000;
    try {
      for (let n = 0; Date.now() < end; n++) {
        const fixed = (await map.readHoldingRegisters(1, 1)).response.body.valuesAsArray[0];
        if (fixed !== 1234) seen.wrong.push(["fixed", fixed]);
        seen.reads++;
      }
    } catch (e) { fail(e); }
    console.log(JSON.stringify(seen));
    socket.end();
    process.exit(0);
  });
  socket.connect({ host: "127.0.0.1", port });
}

main(Number(process.argv[2]), Number(process.argv[3]));
