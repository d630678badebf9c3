"""A pymodbus server as a device: registers as JSON on stdin, its port on stdout, until it is killed.

    pymodbus_device.py                  Modbus/TCP
    pymodbus_device.py rtu-over-tcp     RTU frames through TCP
    pymodbus_device.py rtu PATH [UNIT]  on a serial port, as each unit or as one; it says what it is
    pymodbus_device.py ascii PATH [UNIT]
"""

import asyncio
import json
import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.device import ModbusDeviceIdentification
from pymodbus.server.async_io import ModbusSerialServer, ModbusTcpServer
from pymodbus.transaction import ModbusAsciiFramer, ModbusRtuFramer, ModbusSocketFramer

NAMES = {"VendorName": "Foreign Meters", "ProductCode": "FM-7", "MajorMinorRevision": "2.1"}


async def serve_tcp(context, framer):
    server = ModbusTcpServer(context, framer=framer, address=("127.0.0.1", 0))
    task = asyncio.ensure_future(server.serve_forever())
    await server.serving
    print(server.server.sockets[0].getsockname()[1], flush=True)
    await task


async def serve_port(context, framer, path):
    server = ModbusSerialServer(context, framer=framer, identity=ModbusDeviceIdentification(info_name=NAMES), port=path,
                                baudrate=9600, bytesize=8, parity="N", stopbits=1, ignore_missing_slaves=True)
    await server.start()
    print(0, flush=True)
    await server.serve_forever()


async def main():
    given = json.loads(sys.stdin.readline())
    blocks = {area: ModbusSequentialDataBlock(0, values) for area, values in given.items()}
    device = ModbusSlaveContext(zero_mode=True, **blocks)
    if len(sys.argv) > 3:
        context = ModbusServerContext(slaves={int(sys.argv[3]): device}, single=False)
    else:
        context = ModbusServerContext(slaves=device, single=True)
    kind = sys.argv[1] if len(sys.argv) > 1 else "tcp"
    if kind in ("rtu", "ascii"):
        await serve_port(context, ModbusRtuFramer if kind == "rtu" else ModbusAsciiFramer, sys.argv[2])
    else:
        await serve_tcp(context, ModbusRtuFramer if kind == "rtu-over-tcp" else ModbusSocketFramer)


asyncio.run(main())
