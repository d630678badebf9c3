"""A pymodbus server as a device: registers as JSON on stdin, its port on stdout, until it is killed.

    pymodbus_device.py                  Modbus/TCP
    pymodbus_device.py rtu-over-tcp     RTU frames through TCP
    pymodbus_device.py rtu PATH         on a serial port
    pymodbus_device.py ascii PATH
"""

import asyncio
import json
import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server.async_io import ModbusSerialServer, ModbusTcpServer
from pymodbus.transaction import ModbusAsciiFramer, ModbusRtuFramer, ModbusSocketFramer


async def serve_tcp(context, framer):
    server = ModbusTcpServer(context, framer=framer, address=("127.0.0.1", 0))
    task = asyncio.ensure_future(server.serve_forever())
    await server.serving
    print(server.server.sockets[0].getsockname()[1], flush=True)
    await task


async def serve_port(context, framer, path):
    server = ModbusSerialServer(context, framer=framer, port=path, baudrate=9600, bytesize=8, parity="N", stopbits=1)
    await server.start()
    print(0, flush=True)
    await server.serve_forever()


async def main():
    given = json.loads(sys.stdin.readline())
    blocks = {area: ModbusSequentialDataBlock(0, values) for area, values in given.items()}
    context = ModbusServerContext(slaves=ModbusSlaveContext(zero_mode=True, **blocks), single=True)
    kind = sys.argv[1] if len(sys.argv) > 1 else "tcp"
    if kind in ("rtu", "ascii"):
        await serve_port(context, ModbusRtuFramer if kind == "rtu" else ModbusAsciiFramer, sys.argv[2])
    else:
        await serve_tcp(context, ModbusRtuFramer if kind == "rtu-over-tcp" else ModbusSocketFramer)


asyncio.run(main())
