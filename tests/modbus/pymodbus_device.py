"""A pymodbus server as a device: registers as JSON on stdin, its port on stdout, until it is killed."""

import asyncio
import json
import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server.async_io import ModbusTcpServer


async def main():
    given = json.loads(sys.stdin.readline())
    blocks = {area: ModbusSequentialDataBlock(0, values) for area, values in given.items()}
    device = ModbusSlaveContext(zero_mode=True, **blocks)
    server = ModbusTcpServer(ModbusServerContext(slaves=device, single=True), address=("127.0.0.1", 0))
    task = asyncio.ensure_future(server.serve_forever())
    await server.serving
    print(server.server.sockets[0].getsockname()[1], flush=True)
    await task


asyncio.run(main())
