"""A FastAPI route that returns the bytes of a file, under uvicorn with Daybook's options: `bare_route FILE PORT`."""

import sys
from pathlib import Path

import uvicorn
import uvloop
from fastapi import FastAPI, Response

app = FastAPI()
_ANSWER = Path(sys.argv[1]).read_bytes()


@app.get("/stats")
async def stats() -> Response:
    return Response(_ANSWER, media_type="application/json")


if __name__ == "__main__":
    config = uvicorn.Config(
        app, host="127.0.0.1", port=int(sys.argv[2]), log_config=None, access_log=False, lifespan="on"
    )
    uvloop.run(uvicorn.Server(config).serve())
